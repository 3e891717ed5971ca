package sasl

import (
	"crypto/tls"
	"errors"
	"fmt"
)

// TLSExporter returns the channel binding tls-exporter (RFC 9266) of a TLS
// connection, 32 octets, for SCRAMClient. It fails unless the handshake is
// complete and made TLS 1.3, or TLS 1.2 with the extended master secret (RFC
// 7627), without which another connection can have the same binding.
func TLSExporter(cs tls.ConnectionState) ([]byte, error) {
	if !cs.HandshakeComplete {
		return nil, errors.New("sasl: no channel binding before the TLS handshake")
	}
	if cs.Version < tls.VersionTLS12 {
		return nil, errors.New("sasl: no channel binding before TLS 1.2")
	}
	binding, err := cs.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	if err != nil {
		return nil, fmt.Errorf("sasl: channel binding: %w", err)
	}
	return binding, nil
}
