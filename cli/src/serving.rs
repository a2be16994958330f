//! What all commands have in common whose node others come to: `listen`, `relay`, `reserve`.
//!
//! ```text
//!  Node --Watcher--> whoever shows what happens
//!    |--- metrics  GET /metrics              --metrics
//!    '--- control  who is there, and why     --control
//! ```

use crate::args;
use crate::control::Control;
use crate::listen::stream;
use crate::mapping;
use crate::metrics::Metrics;
use crate::node::{self, Setup};
use crate::output::{Output, Style};
use crate::record::Running;
use crate::watch::{Told, Watcher};
use serde::Serialize;
use std::sync::Arc;
use tidewire_core::Multiaddr;
use tidewire_tokio::{Node, PortMapConfig};

/// The first line of `--json`.
#[derive(Debug, Serialize)]
struct Listening<'a> {
    /// Where it listens, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    listening: Option<&'a str>,
    all: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<&'a str>,
}

/// A node that serves identify, ping and echo, and all around it.
pub(crate) struct Service {
    pub(crate) node: Node,
    running: Running,
    metrics: Option<Metrics>,
    _control: Option<Control>,
    addresses: Vec<Multiaddr>,
    /// How the router is asked to lead ports to it, if it is.
    mapping: Option<PortMapConfig>,
}

impl Service {
    /// Starts it, and listens: at a relay too, which takes until that gave a reservation.
    ///
    /// # Errors
    /// One line.
    pub(crate) async fn start(
        args: &args::Serving,
        mut setup: Setup,
        output: &Output,
        show: impl Fn(&Told<'_>) + Send + Sync + 'static,
    ) -> Result<Service, String> {
        if let Some(most) = args.max_connections {
            setup.config.host.manager.limits.established = most;
        }
        setup.map_ports(args.mapping);
        let mapping = setup.config.port_mapping.clone();
        let (node, running) = setup.start(Arc::new(Watcher::new(show)))?;
        let shown = output.clone();
        node::serve_echo(&node, move |served| stream(served, &shown))?;
        node::announce(&node, &args.announce)?;
        let metrics = match args.metrics {
            Some(address) => Some(Metrics::serve(address, node.clone()).await?),
            None => None,
        };
        let control = args.control.as_deref().map(|path| Control::serve(path, node.clone())).transpose()?;
        let mut addresses = Vec::new();
        for address in &args.addresses {
            let listener = node.listen(address).await.map_err(|error| error.to_string())?;
            addresses.extend_from_slice(listener.addresses());
        }
        Ok(Service { node, running, metrics, _control: control, addresses, mapping })
    }

    /// Where it listens, with our peer id.
    pub(crate) fn addresses(&self) -> &[Multiaddr] {
        &self.addresses
    }

    /// Says where it listens, if it does. `hint`: what to try with the first address.
    pub(crate) fn announce(&self, output: &Output, hint: Option<&str>) {
        let all: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        let metrics = self.metrics.as_ref().map(|metrics| format!("http://{}/metrics", metrics.address()));
        if all.is_empty() && metrics.is_none() {
            return;
        }
        if output.json {
            let listening = all.first().map(String::as_str);
            output.object(&Listening { listening, all: &all, metrics: metrics.as_deref() });
            return;
        }
        for address in &all {
            output.line(format!("listening on {}", output.paint(Style::Bold, address)));
        }
        if let Some(metrics) = metrics {
            output.line(format!("metrics at {metrics}"));
        }
        if let (Some(hint), Some(address)) = (hint, all.first()) {
            output.line(output.paint(Style::Dim, &format!("try: tidewire {hint} {address}")));
        }
        if let Some(config) = &self.mapping {
            mapping::begin(output, config);
        }
    }

    /// Closes all connections.
    pub(crate) async fn close(self) {
        self.running.close().await;
    }
}
