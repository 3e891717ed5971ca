package pop3

import "strings"

// The capabilities of the IANA registry.
const (
	CapTop            = "TOP"
	CapUser           = "USER"
	CapSASL           = "SASL"
	CapRespCodes      = "RESP-CODES"
	CapAuthRespCode   = "AUTH-RESP-CODE"
	CapLoginDelay     = "LOGIN-DELAY"
	CapPipelining     = "PIPELINING"
	CapExpire         = "EXPIRE"
	CapUIDL           = "UIDL"
	CapImplementation = "IMPLEMENTATION"
	CapSTLS           = "STLS"
	CapUTF8           = "UTF8"
	CapLang           = "LANG"
)

// Capability is one line of the reply to CAPA (RFC 2449 §5).
type Capability struct {
	Name string // in capitals when it comes from ParseCapability
	Args string // separated by single spaces; empty: none
}

// ParseCapability takes a line of the reply to CAPA apart. Names match in small
// letters too, and what separates arguments may be several spaces.
func ParseCapability(line string) Capability {
	name, args, _ := strings.Cut(strings.TrimSpace(line), " ")
	upper := []byte(name)
	for i, c := range upper {
		if 'a' <= c && c <= 'z' {
			upper[i] = c - ('a' - 'A')
		}
	}
	return Capability{Name: string(upper), Args: strings.Join(strings.Fields(args), " ")}
}

// String returns the line.
func (c Capability) String() string {
	if c.Args == "" {
		return c.Name
	}
	return c.Name + " " + c.Args
}

// Capabilities is the reply to CAPA.
type Capabilities []Capability

// Lookup returns the arguments of the capability of that name, in capitals,
// and whether it is there.
func (cs Capabilities) Lookup(name string) (args string, ok bool) {
	for _, c := range cs {
		if c.Name == name {
			return c.Args, true
		}
	}
	return "", false
}
