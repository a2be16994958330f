package main

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	mplex "github.com/libp2p/go-mplex"
)

// go-libp2p dropped mplex, and the last go-libp2p-mplex (v0.9.0) no longer compiles against today's interfaces. The
// multiplexer itself, go-mplex, still builds: this file fits it to them. mplex knows no error codes, so none is sent.

const mplexID = "/mplex/6.7.0"

type mplexTransport struct{}

type mplexConn struct{ *mplex.Multiplex }

type mplexStream struct{ *mplex.Stream }

var (
	_ network.Multiplexer = mplexTransport{}
	_ network.MuxedConn   = mplexConn{}
	_ network.MuxedStream = mplexStream{}
)

func (mplexTransport) NewConn(c net.Conn, isServer bool, scope network.PeerScope) (network.MuxedConn, error) {
	// A nil scope inside a non-nil interface would be called.
	var memory mplex.MemoryManager
	if scope != nil {
		memory = scope
	}
	m, err := mplex.NewMultiplex(c, !isServer, memory)
	if err != nil {
		return nil, err
	}
	return mplexConn{m}, nil
}

func (c mplexConn) CloseWithError(network.ConnErrorCode) error { return c.Close() }

func (c mplexConn) OpenStream(ctx context.Context) (network.MuxedStream, error) {
	s, err := c.NewStream(ctx)
	if err != nil {
		return nil, err
	}
	return mplexStream{s}, nil
}

func (c mplexConn) AcceptStream() (network.MuxedStream, error) {
	s, err := c.Accept()
	if err != nil {
		return nil, err
	}
	return mplexStream{s}, nil
}

func (c mplexConn) As(target any) bool {
	if t, ok := target.(**mplex.Multiplex); ok {
		*t = c.Multiplex
		return true
	}
	return false
}

func (s mplexStream) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	return n, asReset(err)
}

func (s mplexStream) Write(b []byte) (int, error) {
	n, err := s.Stream.Write(b)
	return n, asReset(err)
}

func (s mplexStream) ResetWithError(network.StreamErrorCode) error { return s.Reset() }

func (s mplexStream) SetDeadline(t time.Time) error { return s.Stream.SetDeadline(t) }

func asReset(err error) error {
	if errors.Is(err, mplex.ErrStreamReset) {
		return network.ErrReset
	}
	return err
}
