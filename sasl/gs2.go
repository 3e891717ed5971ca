package sasl

import (
	"fmt"
	"strings"
)

// gs2Header is what SCRAM and OAUTHBEARER begin with (RFC 5801 §4).
type gs2Header struct {
	text    string // as it came, with both commas
	flag    byte   // of channel binding: 'n', 'y' or 'p'
	binding string // its name, of 'p'
	authzid string
}

// cutGS2 cuts the header from a message.
func cutGS2(message string) (h gs2Header, rest string, err error) {
	fault := fmt.Errorf("sasl: %w: no GS2 header", ErrMalformed)
	flag, rest, ok := strings.Cut(message, ",")
	authzid, rest, ok2 := strings.Cut(rest, ",")
	if !ok || !ok2 || flag == "" {
		return h, "", fault
	}
	h.text, h.flag = message[:len(message)-len(rest)], flag[0]
	switch name, named := strings.CutPrefix(flag, "p="); {
	case flag == "n" || flag == "y":
	case named && name != "":
		h.binding = name
	default:
		return h, "", fault
	}
	if authzid == "" {
		return h, rest, nil
	}
	name, named := strings.CutPrefix(authzid, "a=") // some clients send an empty one
	if h.authzid, ok = decodeSASLName(name); !ok || !named {
		return h, "", fault
	}
	return h, rest, nil
}

// decodeSASLName undoes =2C and =3D, which are all that '=' may stand in (RFC
// 5801 §4).
func decodeSASLName(s string) (name string, ok bool) {
	decoded := strings.NewReplacer("=2C", ",", "=3D", "=").Replace(s)
	return decoded, strings.Count(s, "=") == strings.Count(s, "=2C")+strings.Count(s, "=3D")
}

// encodeSASLName is the other way round.
func encodeSASLName(name string) string {
	return strings.NewReplacer("=", "=3D", ",", "=2C").Replace(name)
}
