package auth

// Refused is that of the exchange behind the guard, if it has one.
func (x *guardedExchange) Refused() error {
	r, ok := x.inner.(interface{ Refused() error })
	if !ok || r.Refused() == nil {
		return nil
	}
	return &Failure{x.attempt.Attempt, r.Refused()}
}
