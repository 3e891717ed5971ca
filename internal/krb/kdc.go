package krb

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// kdcTimeout bounds an exchange with one KDC.
const kdcTimeout = 10 * time.Second

// ask sends a request to a realm's KDCs, one after the other, until one
// answers. It uses TCP, which every KDC speaks (RFC 4120 §7.2.2).
func (c *Config) ask(ctx context.Context, realm string, request []byte) ([]byte, error) {
	kdcs, err := c.kdcs(ctx, realm)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, addr := range kdcs {
		reply, err := askOne(ctx, addr, request)
		if err == nil {
			return reply, nil
		}
		errs = append(errs, fmt.Errorf("krb: KDC %s: %w", addr, err))
	}
	return nil, errors.Join(errs...)
}

func askOne(ctx context.Context, addr string, request []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, kdcTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	message := binary.BigEndian.AppendUint32(nil, uint32(len(request)))
	if _, err := conn.Write(append(message, request...)); err != nil {
		return nil, errors.Join(err, ctx.Err())
	}
	reply, err := readCounted(conn)
	if err != nil {
		return nil, errors.Join(err, ctx.Err())
	}
	return reply, nil
}

// readCounted reads a message behind its length. Memory is taken as it comes.
func readCounted(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n == 0 || n > MaxMessage {
		return nil, fmt.Errorf("reply of %d octets", n)
	}
	var b bytes.Buffer
	if _, err := io.CopyN(&b, r, int64(n)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
