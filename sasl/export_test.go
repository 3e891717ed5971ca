package sasl

// WithNonce makes a SCRAM client use nonce, as the examples of the RFCs do.
func WithNonce(c Client, nonce string) Client {
	c.(*scramClient).nonce = func() string { return nonce }
	return c
}

// WithServerNonce makes a SCRAM server use nonce.
func WithServerNonce(m Mechanism, nonce string) Mechanism {
	m.(*scramServer).nonce = func() string { return nonce }
	return m
}

// WithChallenge makes a server of CRAM-MD5 or APOP use challenge.
func WithChallenge(m Mechanism, challenge string) Mechanism {
	switch m := m.(type) {
	case *cramMD5:
		m.challenge = func() string { return challenge }
	case *apop:
		m.challenge = challenge
	}
	return m
}

// CheckServerFirst is the check alone, without the work that follows.
func CheckServerFirst(message, own string) error { return checkServerFirst(message, own) }
