//! The network of one row: who is there, and what the machine is told.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddrV4, TcpListener},
    time::Duration,
};

use qemu::lan::{Dhcp, Host, LEASES, Lan, NEIGHBOUR, NEIGHBOUR_6, WORLD};

use crate::{
    parts::{DHT_NODE, HTTPS_NAME, Parts},
    support::{Fault, Hostile, Lab, Release, Tree, run, text},
    table::Place,
};

/// The release that has to be booted; older ones are not.
pub(crate) const NEWEST: u64 = 2;
/// The port of every server.
const PORT: u16 = 8000;
/// Where nobody answers, since nobody has this address.
const DEAD: &str = "203.0.113.99";
/// The nodes of the DHT, one address each.
const NODES: u8 = 6;

/// A network with servers, as long as it is kept.
pub(crate) struct Scene {
    pub(crate) lan: Lan,
    pub(crate) parts: Parts,
    /// What the kernel command line says besides the mode.
    pub(crate) parameters: String,
    trees: Vec<Tree>,
    hostile: Vec<Hostile>,
    nodes: Vec<mainline::Dht>,
}

impl Scene {
    /// Everybody whom `place` wants is there when this returns.
    pub(crate) fn set(place: Place) -> Self {
        let lan = Lan::new().unwrap();
        let mut scene = Self {
            lan,
            parts: Parts::make(),
            parameters: String::new(),
            trees: Vec::new(),
            hostile: Vec::new(),
            nodes: Vec::new(),
        };
        let mut dhcp = Dhcp::v4();
        match place {
            Place::Http => scene.http_origin(),
            Place::Https | Place::HttpsIn1970 | Place::HttpsIn2099 => {
                dhcp = dhcp.option("--local=/test/").option(&format!("--host-record={HTTPS_NAME},{WORLD}"));
                scene.https_origin();
            }
            Place::Dht => scene.dht(),
            Place::DhtBesideADeadOrigin => {
                scene.dht();
                scene.origin(DEAD);
            }
            Place::Proxy => scene.proxy(),
            Place::NoOriginAnswers => scene.no_origin_answers(),
            Place::OneOfTwoCuts => scene.two_origins(Fault::CutsAtHalf),
            Place::OneOfTwoStalls => scene.two_origins(Fault::StallsAtHalf),
            Place::OneOfTwoLies => scene.two_origins(Fault::None),
            Place::PhaseServe => scene.phase_serve(),
            Place::Avahi => scene.avahi(),
            Place::DhcpUrl => {
                scene.served_by(|lan| &lan.neighbour);
                dhcp = dhcp.option(&format!("--dhcp-option=67,http://{NEIGHBOUR}:{PORT}"));
            }
            Place::Dhcp6Url => {
                scene.served_by(|lan| &lan.neighbour);
                dhcp = Dhcp::v6().option(&format!("--dhcp-option=option6:59,http://[{NEIGHBOUR_6}]:{PORT}"));
            }
            Place::Replayed => scene.replayed(),
            Place::Nothing => {}
            Place::OffLinkOrigin => {
                scene.served_by(|lan| &lan.world);
                scene.origin(WORLD);
            }
            Place::OffLinkService => scene.off_link_service(),
        }
        scene.lan.router.dnsmasq(&dhcp).unwrap();
        scene
    }

    /// One more word for the kernel command line.
    fn told(&mut self, word: &str) {
        self.parameters.push(' ');
        self.parameters.push_str(word);
    }

    /// One more origin for the command line.
    fn origin(&mut self, host: &str) {
        self.told(&format!("phase.origin=http://{host}:{PORT}"));
    }

    /// nginx on one of the hosts, with the newest release.
    fn served_by(&mut self, host: impl FnOnce(&Lan) -> &Host) {
        let tree = published(NEWEST);
        nginx(host(&self.lan), &tree);
        self.trees.push(tree);
    }

    fn http_origin(&mut self) {
        self.served_by(|lan| &lan.world);
        self.origin(WORLD);
    }

    fn https_origin(&mut self) {
        let tree = published(NEWEST);
        let (certificate, key) = (self.parts.part("https.pem"), self.parts.part("https.key"));
        let block = format!(
            "server {{ listen {WORLD}:443 ssl; server_name {HTTPS_NAME}; root {}; ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.3; }}",
            text(tree.path()),
            text(&certificate),
            text(&key)
        );
        self.lan.world.nginx(&block, WORLD, 443).unwrap();
        self.trees.push(tree);
        self.told(&format!("phase.origin=https://{HTTPS_NAME}"));
    }

    /// A DHT of nodes that know nobody else, and in it a list that names an origin.
    fn dht(&mut self) {
        self.served_by(|lan| &lan.world);
        for number in 0..NODES {
            self.lan.world.ip(&format!("address add {} dev wan", address_of_node(number))).unwrap();
        }
        let start = || {
            let first = dht_node(None, 0);
            let others = (1..NODES).map(|number| dht_node(Some(*DHT_NODE.ip()), number));
            std::iter::once(first).chain(others).collect()
        };
        self.nodes = self.lan.world.within(start).unwrap();
        let tree = self.trees.last().unwrap();
        let mut announce = self.lan.world.command(Lab::ready().phase_program());
        announce.args([
            "announce",
            "--tree",
            text(tree.path()),
            "--channel",
            "e2e",
            "--locator",
            text(&self.parts.locator()),
        ]);
        announce.args(["--url", &format!("http://{WORLD}:{PORT}"), "--bootstrap", &DHT_NODE.to_string()]);
        run(&mut announce);
    }

    /// An origin that the machine cannot reach, and a proxy on the link that can.
    fn proxy(&mut self) {
        self.served_by(|lan| &lan.world);
        self.origin(WORLD);
        self.told(&format!("phase.proxy=http://{NEIGHBOUR}:3128"));
        // The way to the world ends at the router, but for the proxy's.
        self.lan.neighbour.ip("route add default via 10.77.0.1").unwrap();
        self.lan.router.ip(&format!("rule add from {LEASES} iif lan blackhole")).unwrap();
        let block =
            format!("server {{ listen {NEIGHBOUR}:3128; location / {{ proxy_pass http://$http_host$request_uri; }} }}");
        self.lan.neighbour.nginx(&block, NEIGHBOUR, 3128).unwrap();
    }

    fn no_origin_answers(&mut self) {
        let empty = published(NEWEST);
        fs::remove_dir_all(empty.path().join("e2e")).unwrap();
        nginx(&self.lan.world, &empty);
        self.trees.push(empty);
        self.origin(DEAD);
        self.origin(WORLD);
    }

    /// Two origins with the same release of many pieces: one serves its blobs with `fault`, or wrong ones if there is none.
    fn two_origins(&mut self, fault: Fault) {
        let tree = Release {
            version: NEWEST,
            handoff: "direct",
            rootfs: Some(self.parts.larger_root()),
            ..Release::default()
        }
        .publish();
        let other = tree.copy();
        if fault == Fault::None {
            other.flip_bit_of_blob("larger");
        }
        nginx(&self.lan.world, &tree);
        self.trees.push(tree);
        self.origin(WORLD);
        self.hostile_on(|lan| &lan.world, (WORLD, 8001), other, ("/blobs/", fault));
        self.told(&format!("phase.origin=http://{WORLD}:8001"));
    }

    /// A server of ours on one of the hosts, which serves paths that have `on` in them with a fault.
    fn hostile_on(
        &mut self,
        host: impl FnOnce(&Lan) -> &Host,
        at: (&str, u16),
        tree: Tree,
        (on, fault): (&'static str, Fault),
    ) {
        let listener = host(&self.lan).within(|| TcpListener::bind(at)).unwrap().unwrap();
        self.hostile.push(Hostile::listening(listener, tree, on, fault));
    }

    fn phase_serve(&mut self) {
        let tree = published(NEWEST);
        serve(&self.lan.neighbour, &tree);
        self.trees.push(tree);
    }

    fn avahi(&mut self) {
        self.served_by(|lan| &lan.neighbour);
        let avahi = self.lan.neighbour.avahi().unwrap();
        avahi.publish(&["-s", "mirror", "_phase-boot._tcp", "8000", "ch=e2e", "arch=x86_64", "v=2"]).unwrap();
    }

    /// The neighbour has an older release and answers at once; the second has the newest, and takes its time.
    fn replayed(&mut self) {
        let older = published(NEWEST - 1);
        serve(&self.lan.neighbour, &older);
        self.trees.push(older);
        self.hostile_on(
            |lan| &lan.second,
            ("::", PORT),
            published(NEWEST),
            ("/manifest", Fault::Late(Duration::from_millis(600))),
        );
        let avahi = self.lan.second.avahi().unwrap();
        avahi.publish(&["-s", "slow", "_phase-boot._tcp", "8000", "ch=e2e", "arch=x86_64"]).unwrap();
    }

    /// A service of the link whose host is behind the router, where it really is.
    fn off_link_service(&mut self) {
        self.served_by(|lan| &lan.world);
        let avahi = self.lan.neighbour.avahi().unwrap();
        avahi.publish(&["-a", "far.local", WORLD]).unwrap();
        let service = ["-s", "far", "_phase-boot._tcp", "8000", "ch=e2e", "arch=x86_64"];
        avahi.publish(&[&["-H", "far.local"], &service[..]].concat()).unwrap();
    }
}

/// A tiny release of the version, which is booted without another kernel.
fn published(version: u64) -> Tree {
    Release { version, handoff: "direct", ..Release::default() }.publish()
}

fn nginx(host: &Host, tree: &Tree) {
    let block = format!("server {{ listen {PORT}; listen [::]:{PORT}; root {}; }}", text(tree.path()));
    host.nginx(&block, "127.0.0.1", PORT).unwrap();
}

/// `phase serve --advertise`, as a user would start it.
fn serve(host: &Host, tree: &Tree) {
    let listen = format!("[::]:{PORT}");
    let mut command = host.command(Lab::ready().phase_program());
    command.args(["serve", "--tree", text(tree.path()), "--listen", &listen, "--advertise", "--channel", "e2e"]);
    let log = fs::File::create(host.files().join("serve.log")).unwrap();
    host.start(command.stdout(log.try_clone().unwrap()).stderr(log)).unwrap();
    host.listens("127.0.0.1", PORT).unwrap();
}

/// A node of the DHT; all but the first begin with that one.
fn dht_node(first: Option<Ipv4Addr>, number: u8) -> mainline::Dht {
    let mut node = mainline::Dht::builder();
    node.bind_address(address_of_node(number)).port(DHT_NODE.port()).server_mode();
    match first {
        None => node.no_bootstrap(),
        Some(first) => node.bootstrap(&[SocketAddrV4::new(first, DHT_NODE.port())]),
    };
    node.build().unwrap()
}

fn address_of_node(number: u8) -> Ipv4Addr {
    let [a, b, c, d] = DHT_NODE.ip().octets();
    [a, b, c, d + number].into()
}
