package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"
	"unsafe"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/autonat"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	ma "github.com/multiformats/go-multiaddr"
)

// AutoNAT v1 and v2: `autonat-server` and `autonat-client`.

// A server of version 1 answers a failed dial-back after 15 s.
const autonatTimeout = 40 * time.Second

type answer struct {
	Reachability string `json:"reachability"`
	Address      string `json:"address,omitempty"`
	Error        string `json:"error,omitempty"`
}

func serveAutonat(o options) error {
	h, err := newHost(o, libp2p.ListenAddrStrings(o.listen))
	if err != nil {
		return err
	}
	h.SetStreamHandler(echoProtocol, serveEcho)
	// Dial-backs come from nodes of their own: version 1 must not reuse a connection, version 2 not a port.
	dialer := o
	dialer.seed = -1
	first, err := newHost(dialer, libp2p.NoListenAddrs)
	if err != nil {
		return err
	}
	defer first.Close()
	// Public without asking: it is to serve, not to look for servers itself.
	v1, err := autonat.New(h, autonat.EnableService(first.Network()),
		autonat.WithReachability(network.ReachabilityPublic), autonat.WithoutThrottling(), autonat.WithPeerThrottling(many))
	if err != nil {
		return err
	}
	defer v1.Close()
	if err := allowPrivate(v1); err != nil {
		return err
	}
	v2, err := newAutonatV2(h, dialer)
	if err != nil {
		return err
	}
	defer v2.Close()
	return listenUntilStopped(h)
}

// allowPrivate lets the service of version 1 dial addresses that are not public. The library has that switch, for its
// own tests, and doesn't export it.
func allowPrivate(service autonat.AutoNAT) (err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("this version of go-libp2p keeps its dial policy elsewhere: %v", problem)
		}
	}()
	config := reflect.ValueOf(service).Elem().FieldByName("service").Elem().FieldByName("config").Elem()
	allow := config.FieldByName("dialPolicy").FieldByName("allowSelfDials")
	*(*bool)(unsafe.Pointer(allow.UnsafeAddr())) = true
	return nil
}

func newAutonatV2(h host.Host, dialer options) (*autonatv2.AutoNAT, error) {
	back, err := newHost(dialer, libp2p.NoListenAddrs)
	if err != nil {
		return nil, err
	}
	v2, err := autonatv2.New(back, autonatv2.AllowPrivateAddrs)
	if err != nil {
		return nil, err
	}
	return v2, v2.Start(h)
}

// askAutonat asks about its own listening address, or about the announced one, which then nobody listens on.
func askAutonat(o options, address string) (any, error) {
	server, err := peer.AddrInfoFromString(address)
	if err != nil {
		return nil, err
	}
	listening := libp2p.ListenAddrStrings(o.listen)
	if o.announce != "" {
		listening = libp2p.NoListenAddrs
	}
	h, err := newHost(o, listening)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	asked := h.Network().ListenAddresses()
	if o.announce != "" {
		announced, err := ma.NewMultiaddr(o.announce)
		if err != nil {
			return nil, err
		}
		asked = []ma.Multiaddr{announced}
	}
	dialer := o
	dialer.seed = -1
	v2, err := newAutonatV2(h, dialer)
	if err != nil {
		return nil, err
	}
	defer v2.Close()
	ctx, cancel := context.WithTimeout(context.Background(), autonatTimeout)
	defer cancel()
	if err := h.Connect(ctx, *server); err != nil {
		return nil, err
	}
	if err := identified(ctx, h, server.ID); err != nil {
		return nil, err
	}
	second, err := askV2(ctx, v2, asked)
	if err != nil {
		return nil, err
	}
	first := askV1(ctx, h, server.ID, asked)
	return map[string]any{"ok": true, "peer": server.ID.String(), "v1": first, "v2": second}, nil
}

func identified(ctx context.Context, h host.Host, id peer.ID) error {
	ids, ok := h.(interface{ IDService() identify.IDService })
	if !ok {
		return errors.New("this version of go-libp2p hides its identify service")
	}
	for _, conn := range h.Network().ConnsToPeer(id) {
		select {
		case <-ids.IDService().IdentifyWait(conn):
		case <-ctx.Done():
			return fmt.Errorf("identify: %w", ctx.Err())
		}
	}
	return nil
}

func askV1(ctx context.Context, h host.Host, server peer.ID, asked []ma.Multiaddr) answer {
	client := autonat.NewAutoNATClient(h, func() []ma.Multiaddr { return asked }, nil)
	switch err := client.DialBack(ctx, server); {
	case err == nil:
		return answer{Reachability: "public"}
	case autonat.IsDialError(err):
		return answer{Reachability: "private", Error: err.Error()}
	default:
		return answer{Reachability: "unknown", Error: err.Error()}
	}
}

// askV2 waits for the service to hear that the server speaks it: identify and the service are told one after the other.
func askV2(ctx context.Context, v2 *autonatv2.AutoNAT, asked []ma.Multiaddr) (answer, error) {
	var requests []autonatv2.Request
	for _, addr := range asked {
		requests = append(requests, autonatv2.Request{Addr: addr, SendDialData: true})
	}
	for tries := 0; ; tries++ {
		result, err := v2.GetReachability(ctx, requests)
		switch {
		case errors.Is(err, autonatv2.ErrNoPeers) && tries < 20:
			time.Sleep(100 * time.Millisecond)
			continue
		case err != nil:
			return answer{Reachability: "unknown", Error: err.Error()}, nil
		case result.AllAddrsRefused:
			return answer{Reachability: "unknown", Error: "the server refused to dial every address"}, nil
		}
		told := answer{Reachability: "unknown", Address: result.Addr.String()}
		switch result.Reachability {
		case network.ReachabilityPublic:
			told.Reachability = "public"
		case network.ReachabilityPrivate:
			told.Reachability = "private"
		}
		return told, nil
	}
}
