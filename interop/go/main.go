// The go-libp2p peer of the interop runs. Its command line is the contract of interop/README.md.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	echoProtocol = protocol.ID("/echo/1.0.0")
	// Served from a while after the connection on, so that identify has something to push.
	laterProtocol = protocol.ID("/interop/later/1.0.0")
	laterDelay    = 2 * time.Second
	pings         = 3
	dialTimeout   = 25 * time.Second
)

// The short names of the contract, from the protocol ids that go-libp2p reports.
var shortNames = map[protocol.ID]string{
	noise.ID:           "noise",
	"/plaintext/2.0.0": "plaintext",
	yamux.ID:           "yamux",
	mplexID:            "mplex",
}

type options struct {
	listen, security, muxer, psk, announce string
	seed                                   int64
	size                                   int
	lazy, plain, later, dcutr              bool
	hold, wait                             float64
	limits                                 relayLimits
}

const usageText = `usage: peer listen | dial MULTIADDR
       peer relay | reserve RELAY | dial-circuit MULTIADDR
       peer autonat-server | autonat-client SERVER    [options]`

// A command takes one address or none, and serves until it is told to end, or reports.
type command struct {
	flags   func(*flag.FlagSet, *options)
	address bool
	serve   func(options, string) error
	report  func(options, string) (any, error)
	refusal string // the key of the report that says no
}

var commands = map[string]command{
	"listen": {
		flags: func(f *flag.FlagSet, o *options) {
			f.BoolVar(&o.later, "later", false, "serve one more protocol a while after the first connection")
			listenFlag(f, o)
		},
		serve: func(o options, _ string) error { return listen(o) },
	},
	"dial": {
		flags: func(f *flag.FlagSet, o *options) {
			sizeFlag(f, o)
			holdFlag(f, o)
			f.BoolVar(&o.lazy, "lazy", false, "send the proposal together with the stream's first bytes (default)")
			f.BoolVar(&o.plain, "plain", false, "wait for the answer before the stream's first bytes")
		},
		address: true,
		report:  func(o options, address string) (any, error) { return dial(o, address) },
	},
	"relay": {
		flags: func(f *flag.FlagSet, o *options) {
			listenFlag(f, o)
			announceFlag(f, o)
			f.Int64Var(&o.limits.data, "data-limit", 0, "bytes of a circuit in each direction; 0: no limit")
			f.Int64Var(&o.limits.duration, "duration", 0, "seconds that a circuit lives; 0: no limit")
			f.IntVar(&o.limits.reservations, "reservations", 1024, "how many there are at once")
			f.Int64Var(&o.limits.ttl, "ttl", 3600, "seconds that a reservation lives")
		},
		serve: func(o options, _ string) error { return serveRelay(o) },
	},
	"reserve": {
		flags: func(f *flag.FlagSet, o *options) {
			listenFlag(f, o)
			f.BoolVar(&o.dcutr, "dcutr", false, "listen, and make circuits direct")
		},
		address: true,
		serve:   reserve,
		refusal: "reserved",
	},
	"dial-circuit": {
		flags: func(f *flag.FlagSet, o *options) {
			sizeFlag(f, o)
			holdFlag(f, o)
			listenFlag(f, o)
			f.Float64Var(&o.wait, "wait", 0, "listen, and wait so many seconds for a direct connection")
		},
		address: true,
		report:  dialCircuit,
	},
	"autonat-server": {
		flags: listenFlag,
		serve: func(o options, _ string) error { return serveAutonat(o) },
	},
	"autonat-client": {
		flags: func(f *flag.FlagSet, o *options) {
			listenFlag(f, o)
			announceFlag(f, o)
		},
		address: true,
		report:  askAutonat,
	},
}

func listenFlag(f *flag.FlagSet, o *options) {
	f.StringVar(&o.listen, "listen", "/ip4/127.0.0.1/tcp/0", "address to listen on")
}

func announceFlag(f *flag.FlagSet, o *options) {
	f.StringVar(&o.announce, "announce", "", "address to tell in place of the listening one")
}

func holdFlag(f *flag.FlagSet, o *options) {
	f.Float64Var(&o.hold, "hold", 0, "seconds to stay idle afterwards, then ping again")
}

func sizeFlag(f *flag.FlagSet, o *options) {
	f.IntVar(&o.size, "size", 1<<20, "bytes to echo")
}

func main() {
	if len(os.Args) < 2 {
		usage("expected a command")
	}
	name, args := os.Args[1], os.Args[2:]
	c, ok := commands[name]
	if !ok {
		usage("unknown command " + name)
	}
	var o options
	flags := flag.NewFlagSet(name, flag.ExitOnError)
	flags.StringVar(&o.security, "security", "noise", "noise or plaintext")
	flags.StringVar(&o.muxer, "muxer", "yamux", "yamux or mplex")
	flags.StringVar(&o.psk, "psk", "", "file with the key of a private network")
	flags.Int64Var(&o.seed, "seed", -1, "the identity, for tests; random when not given")
	if c.flags != nil {
		c.flags(flags, &o)
	}
	rest, address := parse(flags, args), ""
	switch {
	case c.address && len(rest) != 1:
		usage(name + " takes one multiaddr")
	case !c.address && len(rest) != 0:
		usage(name + " takes no address; use --listen")
	case c.address:
		address = rest[0]
	}
	if c.report != nil {
		report, err := c.report(o, address)
		if err != nil {
			printLine(map[string]any{"ok": false, "error": err.Error()})
			os.Exit(1)
		}
		printLine(report)
		return
	}
	if err := c.serve(o, address); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		if c.refusal != "" {
			printLine(map[string]any{c.refusal: false, "error": err.Error()})
		}
		os.Exit(1)
	}
}

func usage(problem string) {
	fmt.Fprintf(os.Stderr, "%s\n%s\n", problem, usageText)
	os.Exit(2)
}

// parse allows options on both sides of the address, and returns what is no option.
func parse(flags *flag.FlagSet, args []string) (rest []string) {
	for {
		flags.Parse(args) // exits on an error
		if flags.NArg() == 0 {
			return rest
		}
		rest = append(rest, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

func printLine(value any) {
	line, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

// newHost makes a node without relays, unless an option of `more` says otherwise.
func newHost(o options, addrs libp2p.Option, more ...libp2p.Option) (host.Host, error) {
	if len(more) == 0 {
		more = []libp2p.Option{libp2p.DisableRelay()}
	}
	if !o.punches() {
		more = append(more,
			libp2p.Transport(tcp.NewTCPTransport, tcp.DisableReuseport()),
			libp2p.DisableIdentifyAddressDiscovery(),
		)
	}
	opts := append(more,
		addrs,
		libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.DisableMetrics(),
		// Keeps AutoNAT from asking the other side what our reachability is.
		libp2p.ForceReachabilityPrivate(),
	)
	switch o.security {
	case "noise":
		opts = append(opts, libp2p.Security(noise.ID, noise.New))
	case "plaintext":
		opts = append(opts, libp2p.NoSecurity)
	default:
		return nil, fmt.Errorf("unknown security %q: expected noise or plaintext", o.security)
	}
	switch o.muxer {
	case "yamux":
		opts = append(opts, libp2p.Muxer(yamux.ID, yamux.DefaultTransport))
	case "mplex":
		opts = append(opts, libp2p.Muxer(mplexID, mplexTransport{}))
	default:
		return nil, fmt.Errorf("unknown muxer %q: expected yamux or mplex", o.muxer)
	}
	if o.psk != "" {
		file, err := os.Open(o.psk)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		psk, err := pnet.DecodeV1PSK(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.psk, err)
		}
		opts = append(opts, libp2p.PrivateNetwork(psk))
	}
	if o.seed >= 0 {
		var secret [32]byte
		binary.LittleEndian.PutUint64(secret[:], uint64(o.seed))
		key, _, err := crypto.GenerateEd25519Key(bytes.NewReader(secret[:]))
		if err != nil {
			return nil, err
		}
		opts = append(opts, libp2p.Identity(key))
	}
	return libp2p.New(opts...)
}

func listen(o options) error {
	h, err := newHost(o, libp2p.ListenAddrStrings(o.listen))
	if err != nil {
		return err
	}
	h.SetStreamHandler(echoProtocol, serveEcho)
	if err := tellIdentified(h, o.later); err != nil {
		return err
	}
	return listenUntilStopped(h)
}

// listenUntilStopped says where the host listens, and closes it at SIGTERM.
func listenUntilStopped(h host.Host) error {
	stop := stopSignal()
	all := []string{}
	for _, addr := range h.Network().ListenAddresses() {
		all = append(all, fmt.Sprintf("%s/p2p/%s", addr, h.ID()))
	}
	if len(all) == 0 {
		return errors.New("no listening address")
	}
	printLine(map[string]any{"listening": all[0], "all": all})
	<-stop
	return h.Close()
}

func stopSignal() <-chan os.Signal {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	return stop
}

// tellIdentified prints a line for each peer that said who it is, and for each that told of a change.
func tellIdentified(h host.Host, later bool) error {
	events, err := h.EventBus().Subscribe([]any{
		new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerProtocolsUpdated),
	})
	if err != nil {
		return err
	}
	go func() {
		for e := range events.Out() {
			id := peer.ID("")
			switch e := e.(type) {
			case event.EvtPeerIdentificationCompleted:
				id = e.Peer
				if later {
					later = false
					time.AfterFunc(laterDelay, func() { h.SetStreamHandler(laterProtocol, serveEcho) })
				}
			case event.EvtPeerProtocolsUpdated:
				id = e.Peer
			}
			printLine(map[string]any{"identified": known(h, id)})
		}
	}()
	return nil
}

type identity struct {
	Peer      string        `json:"peer"`
	Agent     string        `json:"agent"`
	Protocols []protocol.ID `json:"protocols"`
	Addresses []string      `json:"addresses"`
}

// known is what identify has told of a peer so far.
func known(h host.Host, id peer.ID) identity {
	who := identity{Peer: id.String(), Addresses: []string{}}
	if agent, err := h.Peerstore().Get(id, "AgentVersion"); err == nil {
		who.Agent, _ = agent.(string)
	}
	who.Protocols, _ = h.Peerstore().GetProtocols(id)
	for _, addr := range h.Peerstore().Addrs(id) {
		who.Addresses = append(who.Addresses, addr.String())
	}
	return who
}

func serveEcho(s network.Stream) {
	defer s.Close()
	if _, err := io.Copy(s, s); err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		s.Reset()
		return
	}
	s.CloseWrite()
}

type report struct {
	OK        bool       `json:"ok"`
	Peer      string     `json:"peer"`
	Security  string     `json:"security"`
	Muxer     string     `json:"muxer"`
	ConnectMs float64    `json:"connect_ms"`
	PingMs    []float64  `json:"ping_ms"`
	Echo      echoReport `json:"echo"`
	HeldMs    float64    `json:"held_ms,omitempty"`
	After     []float64  `json:"ping_after_ms,omitempty"`
	Identify  identity   `json:"identify"`
}

type echoReport struct {
	Bytes int     `json:"bytes"`
	Ms    float64 `json:"ms"`
}

func dial(o options, address string) (*report, error) {
	if o.lazy && o.plain {
		return nil, errors.New("--lazy and --plain exclude each other")
	}
	if o.size < 0 {
		return nil, errors.New("--size must not be negative")
	}
	addr, err := ma.NewMultiaddr(address)
	if err != nil {
		return nil, err
	}
	target, err := peer.AddrInfoFromP2pAddr(addr)
	if err != nil {
		return nil, err
	}
	h, err := newHost(o, libp2p.NoListenAddrs)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout+time.Duration(o.hold*float64(time.Second)))
	defer cancel()

	h.Peerstore().AddAddrs(target.ID, target.Addrs, time.Hour)
	begin := time.Now()
	conn, err := h.Network().DialPeer(ctx, target.ID)
	if err != nil {
		return nil, err
	}
	r := &report{
		OK:        true,
		Peer:      conn.RemotePeer().String(),
		Security:  shortNames[conn.ConnState().Security],
		Muxer:     shortNames[conn.ConnState().StreamMultiplexer],
		ConnectMs: ms(time.Since(begin)),
	}
	if r.Security == "" || r.Muxer == "" {
		return nil, fmt.Errorf("agreed on security %q and muxer %q, which were not asked for",
			conn.ConnState().Security, conn.ConnState().StreamMultiplexer)
	}
	if err := chooseSelection(ctx, h, conn, o.plain); err != nil {
		return nil, err
	}

	if r.PingMs, err = pingPeer(ctx, h, target.ID); err != nil {
		return nil, err
	}
	if r.Echo, err = echo(ctx, h, target.ID, o.size); err != nil {
		return nil, fmt.Errorf("echo: %w", err)
	}
	if o.hold > 0 {
		begin := time.Now()
		time.Sleep(min(laterDelay, time.Duration(o.hold*float64(time.Second))))
		h.SetStreamHandler(laterProtocol, serveEcho)
		time.Sleep(time.Duration(o.hold*float64(time.Second)) - time.Since(begin))
		if conn.IsClosed() {
			return nil, errors.New("the connection was closed while it was idle")
		}
		r.HeldMs = ms(time.Since(begin))
		if r.After, err = pingPeer(ctx, h, target.ID); err != nil {
			return nil, err
		}
	}
	r.Identify = known(h, target.ID)
	return r, nil
}

func pingPeer(ctx context.Context, h host.Host, id peer.ID) (took []float64, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	results := ping.Ping(ctx, h, id)
	for range pings {
		result, ok := <-results
		if !ok {
			return nil, errors.New("ping: the stream ended")
		}
		if result.Error != nil {
			return nil, fmt.Errorf("ping: %w", result.Error)
		}
		took = append(took, ms(result.RTT))
	}
	return took, nil
}

// chooseSelection makes every later stream lazy or plain. go-libp2p is lazy for a protocol that it believes the remote
// speaks, and waits for the answer otherwise; so tell it what to believe, once identify (which also writes there) is
// through. A connection's security and muxer it always negotiates plainly.
func chooseSelection(ctx context.Context, h host.Host, conn network.Conn, plain bool) error {
	ids, ok := h.(interface{ IDService() identify.IDService })
	if !ok {
		return errors.New("this version of go-libp2p hides its identify service")
	}
	select {
	case <-ids.IDService().IdentifyWait(conn):
	case <-ctx.Done():
		return fmt.Errorf("identify: %w", ctx.Err())
	}
	protocols := []protocol.ID{ping.ID, echoProtocol}
	if plain {
		return h.Peerstore().RemoveProtocols(conn.RemotePeer(), protocols...)
	}
	return h.Peerstore().AddProtocols(conn.RemotePeer(), protocols...)
}

func echo(ctx context.Context, h host.Host, id peer.ID, size int) (echoReport, error) {
	begin := time.Now()
	s, err := h.NewStream(ctx, id, echoProtocol)
	if err != nil {
		return echoReport{}, err
	}
	return echoOver(ctx, s, size, begin)
}

func echoOver(ctx context.Context, s network.Stream, size int, begin time.Time) (echoReport, error) {
	defer s.Reset()
	sent := make([]byte, size)
	rand.Read(sent)
	if deadline, ok := ctx.Deadline(); ok {
		s.SetDeadline(deadline)
	}
	written := make(chan error, 1)
	go func() {
		_, err := s.Write(sent)
		if err == nil {
			err = s.CloseWrite()
		}
		written <- err
	}()
	received, readErr := io.ReadAll(io.LimitReader(s, int64(size)+1))
	if readErr != nil {
		return echoReport{}, fmt.Errorf("reading, after %d of %d bytes: %w", len(received), size, readErr)
	}
	if len(received) > size {
		return echoReport{}, fmt.Errorf("more than the %d bytes sent came back", size)
	}
	if err := <-written; err != nil {
		return echoReport{}, fmt.Errorf("writing: %w", err)
	}
	if !bytes.Equal(sent, received) {
		return echoReport{}, fmt.Errorf("sent %d bytes, received %d, and they differ", len(sent), len(received))
	}
	return echoReport{Bytes: size, Ms: ms(time.Since(begin))}, nil
}

// ms is in milliseconds, to the microsecond.
func ms(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}
