package sasl

// WithNonce makes a SCRAM client use nonce, as the examples of the RFCs do.
func WithNonce(c Client, nonce string) Client {
	c.(*scramClient).nonce = func() string { return nonce }
	return c
}

// CheckServerFirst is the check alone, without the work that follows.
func CheckServerFirst(message, own string) error { return checkServerFirst(message, own) }
