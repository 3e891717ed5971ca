package auth

// Refused is that of the exchange behind the guard, if it has one. A client
// that was given something of a secret and goes no further has made a guess.
func (x *guardedExchange) Refused() error {
	r, ok := x.inner.(interface{ Refused() error })
	switch {
	case ok && r.Refused() != nil:
		return &Failure{x.attempt.Attempt, r.Refused()}
	case x.attempt.asked && !x.counted:
		x.counted = true
		x.throttle.refused(x.attempt.guesser, 0)
		return &Failure{x.attempt.Attempt, errRefused}
	}
	return nil
}
