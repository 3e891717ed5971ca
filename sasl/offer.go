package sasl

// Offer is what there is to know of a mechanism before a server offers it.
type Offer struct {
	// Name is how the operator names it. The -PLUS form of SCRAM has one of
	// its own.
	Name string
	// Default says that it is offered unless the operator says otherwise. The
	// weak ones are not, nor are those with channel binding: mutt 2.2 takes them
	// wherever they are offered, without a channel to bind to, and gives up.
	Default bool
	// Schemes are those of SecretSource of which the account source must
	// have one. None: the mechanism needs no secret.
	Schemes []string
}

// Offers returns the mechanisms that a server may offer, in the order in which
// it should. APOP is no SASL mechanism but is chosen like one. GSSAPI is not of
// this package.
func Offers() []Offer {
	sha256, sha1 := []string{"SCRAM-SHA-256", "PLAIN"}, []string{"SCRAM-SHA-1", "PLAIN"}
	return []Offer{
		{"SCRAM-SHA-256-PLUS", false, sha256},
		{"SCRAM-SHA-256", true, sha256},
		{"SCRAM-SHA-1-PLUS", false, sha1},
		{"SCRAM-SHA-1", false, sha1},
		{"PLAIN", true, nil},
		{"LOGIN", true, nil},
		{"OAUTHBEARER", true, nil},
		{"XOAUTH2", true, nil},
		{"EXTERNAL", true, nil},
		{"GSSAPI", true, nil},
		{"CRAM-MD5", false, []string{"CRAM-MD5", "PLAIN"}},
		{"APOP", false, []string{"PLAIN"}},
	}
}
