//! A router that speaks UPnP, for tests, on loopback: SSDP over UDP, a description and SOAP over HTTP.
#![allow(dead_code, unreachable_pub)] // not every test file uses all of it

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

const SERVICE: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";
const ADDRESS: &str = "11.0.0.9";

/// Lives as long as the process.
pub struct Igd {
    /// Where it is searched.
    pub search_at: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// It gives no leases.
    for_ever: bool,
    /// Ports outside that are another's.
    taken: Vec<u16>,
    /// The port outside, and inside, and for how long.
    mapped: BTreeMap<u16, (u16, u32)>,
}

impl Igd {
    pub fn new() -> Igd {
        let (ssdp, http) = (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let (search_at, at) = (ssdp.local_addr().unwrap(), http.local_addr().unwrap());
        let inner = Arc::new(Mutex::new(Inner::default()));
        thread::spawn(move || {
            let mut buffer = [0; 2_000];
            loop {
                let (length, from) = ssdp.recv_from(&mut buffer).unwrap();
                assert!(buffer[..length].starts_with(b"M-SEARCH * HTTP/1.1\r\n"));
                let answer = format!("HTTP/1.1 200 OK\r\nST:{SERVICE}\r\nLOCATION: http://{at}/root.xml\r\n\r\n");
                ssdp.send_to(answer.as_bytes(), from).unwrap();
            }
        });
        let of_thread = inner.clone();
        thread::spawn(move || {
            for client in http.incoming() {
                // One that hangs up is not worth a word.
                let _ = serve(&of_thread, client.unwrap());
            }
        });
        Igd { search_at, inner }
    }

    pub fn for_ever(&self) {
        self.inner.lock().unwrap().for_ever = true;
    }

    pub fn take(&self, outside: u16) {
        self.inner.lock().unwrap().taken.push(outside);
    }

    /// The port outside, and for how long.
    pub fn outside(&self, inside: u16) -> Option<(u16, u32)> {
        let inner = self.inner.lock().unwrap();
        inner.mapped.iter().find(|(_, (of, _))| *of == inside).map(|(outside, (_, lease))| (*outside, *lease))
    }
}

fn serve(inner: &Mutex<Inner>, mut client: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut head, mut line) = (String::new(), String::new());
    while reader.read_line(&mut line)? > 2 {
        head += &line.to_lowercase();
        line.clear();
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body).unwrap();
    let (status, answer) = match head.split_whitespace().nth(1).unwrap() {
        "/root.xml" => ("200 OK", root()),
        "/wan.xml" => ("200 OK", scpd()),
        _ => inner.lock().unwrap().soap(&body),
    };
    let length = answer.len();
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}"
    )
}

fn root() -> String {
    format!(
        "<?xml version=\"1.0\"?><root xmlns=\"urn:schemas-upnp-org:device-1-0\"><device>\
         <deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><deviceList><device>\
         <deviceType>urn:schemas-upnp-org:device:WANDevice:1</deviceType><deviceList><device>\
         <deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:1</deviceType><serviceList><service>\
         <serviceType>{SERVICE}</serviceType><controlURL>/ctl</controlURL><SCPDURL>/wan.xml</SCPDURL>\
         </service></serviceList></device></deviceList></device></deviceList></device></root>"
    )
}

fn scpd() -> String {
    let actions: [(&str, &[&str]); 3] = [
        ("GetExternalIPAddress", &[]),
        ("DeletePortMapping", &["NewRemoteHost", "NewExternalPort", "NewProtocol"]),
        (
            "AddPortMapping",
            &[
                "NewRemoteHost",
                "NewExternalPort",
                "NewProtocol",
                "NewInternalPort",
                "NewInternalClient",
                "NewEnabled",
                "NewPortMappingDescription",
                "NewLeaseDuration",
            ],
        ),
    ];
    let argument = |name: &&str| format!("<argument><name>{name}</name><direction>in</direction></argument>");
    let action = |(name, arguments): &(&str, &[&str])| {
        let arguments: String = arguments.iter().map(argument).collect();
        format!("<action><name>{name}</name><argumentList>{arguments}</argumentList></action>")
    };
    let actions: String = actions.iter().map(action).collect();
    format!(
        "<?xml version=\"1.0\"?><scpd xmlns=\"urn:schemas-upnp-org:service-1-0\"><actionList>{actions}</actionList></scpd>"
    )
}

/// What stands between the tags of this name.
fn field<'a>(body: &'a str, name: &str) -> &'a str {
    let begin = body.find(&format!("<{name}")).unwrap();
    let begin = begin + body[begin..].find('>').unwrap() + 1;
    &body[begin..begin + body[begin..].find('<').unwrap()]
}

impl Inner {
    fn soap(&mut self, body: &str) -> (&'static str, String) {
        let number = |name| field(body, name).parse::<u32>().unwrap();
        let port = |name| u16::try_from(number(name)).unwrap();
        let done = |action: &str, what: String| {
            let body = format!("<u:{action}Response xmlns:u=\"{SERVICE}\">{what}</u:{action}Response>");
            ("200 OK", envelope(&body))
        };
        if body.contains("GetExternalIPAddress") {
            let ip = format!("<NewExternalIPAddress>{ADDRESS}</NewExternalIPAddress>");
            return done("GetExternalIPAddress", ip);
        }
        let outside = port("NewExternalPort");
        assert_eq!(field(body, "NewProtocol"), "TCP");
        if body.contains("DeletePortMapping") {
            self.mapped.remove(&outside);
            return done("DeletePortMapping", String::new());
        }
        let lease = number("NewLeaseDuration");
        if self.for_ever && lease != 0 {
            return fault(725, "OnlyPermanentLeasesSupported");
        }
        if self.taken.contains(&outside) {
            return fault(718, "ConflictInMappingEntry");
        }
        assert_eq!(field(body, "NewInternalClient"), "127.0.0.1");
        self.mapped.insert(outside, (port("NewInternalPort"), lease));
        done("AddPortMapping", String::new())
    }
}

fn envelope(body: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>{body}</s:Body></s:Envelope>"
    )
}

fn fault(code: u16, words: &str) -> (&'static str, String) {
    let error = format!("<errorCode>{code}</errorCode><errorDescription>{words}</errorDescription>");
    let error = format!("<UPnPError xmlns=\"urn:schemas-upnp-org:control-1-0\">{error}</UPnPError>");
    let fault = "<faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring>";
    ("500 Internal Server Error", envelope(&format!("<s:Fault>{fault}<detail>{error}</detail></s:Fault>")))
}
