use super::*;
use proptest::prelude::*;
use std::fmt::Write as _;

/// Excerpts of what depmod made of Debian's linux-image-6.1.0-56-cloud-amd64.
const DEP: &str = "\
kernel/drivers/virtio/virtio.ko:
kernel/drivers/virtio/virtio_ring.ko: kernel/drivers/virtio/virtio.ko
kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko
kernel/net/core/failover.ko:
kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko \
kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/crypto/crc32c_generic.ko:
kernel/arch/x86/crypto/crc32c-intel.ko:
kernel/lib/libcrc32c.ko:
kernel/fs/xfs/xfs.ko.xz: kernel/lib/libcrc32c.ko
";
const ALIAS: &str = "\
# Aliases extracted from modules themselves.
alias virtio:d00000001v* virtio_net
alias crypto-crc32c crc32c_intel
alias crc32c crc32c_intel
alias crc32c crc32c_generic
alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci
";
const SOFTDEP: &str = "\
# Soft dependencies extracted from modules themselves.
softdep libcrc32c pre: crc32c
softdep cifs gcm
softdep virtio_net post: xfs not-there
";
// A wish for crc32c is one for its implementations, although the library of this name is built in.
const BUILTIN: &str = "kernel/drivers/virtio/virtio_pci.ko\nkernel/fs/ext4/ext4.ko\nkernel/lib/crc32c.ko\n";

fn parse<'a>(dep: &'a str, softdep: &'a str) -> Index<'a> {
    Index::parse(&Sources { dep, alias: ALIAS, softdep, builtin: BUILTIN }, Limits::DEFAULT).unwrap()
}

fn order(dep: &str, softdep: &str, name: &str) -> Result<Vec<String>, KmodError> {
    let paths = parse(dep, softdep).load_order(name)?;
    Ok(paths.into_iter().map(|path| name_of_path(path).to_owned()).collect())
}

#[test]
fn dependencies_come_first() {
    // modprobe --show-depends prints exactly this order.
    let want = ["virtio", "virtio_ring", "failover", "net_failover", "virtio_net"];
    // depmod lists virtio before virtio_ring, although the latter needs the former.
    assert_eq!(order(DEP, "", "virtio_net").unwrap(), want);
    assert_eq!(order(DEP, "", "virtio-net").unwrap(), want);
}

#[test]
fn soft_dependencies_stand_where_they_say() {
    let want = ["crc32c-intel", "crc32c_generic", "libcrc32c", "xfs"];
    assert_eq!(order(DEP, SOFTDEP, "xfs").unwrap(), want);
    let whole = order(DEP, SOFTDEP, "virtio_net").unwrap();
    assert_eq!(whole[4..], ["virtio_net", "crc32c-intel", "crc32c_generic", "libcrc32c", "xfs"]);
}

#[test]
fn built_in_needs_no_file_and_unknown_is_an_error() {
    assert_eq!(order(DEP, "", "ext4").unwrap(), [""; 0]);
    assert!(parse(DEP, "").is_builtin("virtio-pci"));
    assert_eq!(order(DEP, "", "nvme"), Err(KmodError::Unknown { name: "nvme".into() }));
    assert_eq!(order("a.ko: b.ko", "", "a"), Err(KmodError::Unknown { name: "b".into() }));
}

#[test]
fn cycles_are_found() {
    let cycle = "a.ko: b.ko\nb.ko: c.ko\nc.ko: a.ko\n";
    assert_eq!(order(cycle, "", "b"), Err(KmodError::Cycle { name: "b".into() }));
    assert_eq!(order("a.ko: a.ko", "", "a"), Err(KmodError::Cycle { name: "a".into() }));
}

#[test]
fn a_cycle_through_soft_dependencies_is_left_out() {
    let dep = "a.ko: b.ko\nb.ko:\nc.ko: a.ko\n";
    assert_eq!(order(dep, "softdep b pre: a", "a").unwrap(), ["b", "a"]);
    // c needs a, which is not loaded yet when b wishes for c.
    assert_eq!(order(dep, "softdep b pre: c", "a").unwrap(), ["b", "a"]);
    assert_eq!(order(dep, "softdep a post: c", "a").unwrap(), ["b", "a", "c"]);
}

#[test]
fn chains_are_limited() {
    let mut dep = String::from("m0.ko:\n");
    for number in 1..100 {
        writeln!(dep, "m{number}.ko: m{}.ko", number - 1).unwrap();
    }
    assert_eq!(order(&dep, "", "m63").unwrap().len(), 64);
    assert_eq!(order(&dep, "", "m99"), Err(KmodError::TooDeep { name: "m35".into(), limit: 64 }));
}

#[test]
fn devices_find_their_modules() {
    let index = parse(DEP, "");
    assert_eq!(index.matching("virtio:d00000001v00001AF4"), ["virtio_net"]);
    assert_eq!(index.matching("pci:v00001AF4d00001041sv00001AF4sd00001100bc02sc00i00"), ["virtio_pci"]);
    assert_eq!(index.matching("crypto_crc32c"), ["crc32c_intel"]);
    assert_eq!(index.matching("crc32c"), ["crc32c_intel", "crc32c_generic"]);
    assert_eq!(index.matching("pci:v00008086"), [""; 0]);
    let sources = Sources { alias: "alias *:v1 any\nalias x:v1 some\n", ..Sources::default() };
    let index = Index::parse(&sources, Limits::DEFAULT).unwrap();
    assert_eq!(index.matching("x:v1"), ["some", "any"]);
}

#[test]
fn names_of_paths() {
    for path in ["kernel/a/x.ko", "x.ko.xz", "y/x.ko.zst", "x.ko.gz"] {
        assert_eq!(name_of_path(path), "x");
    }
    assert!(same_name("crc32c-intel", "crc32c_intel") && !same_name("crc32c", "crc32c_intel"));
}

#[test]
fn broken_lines_are_named() {
    for (dep, line) in
        [("a.ko", 1), ("a.ko:\n\n/abs.ko:\n", 3), ("a.ko: ../b.ko", 1), ("a//b.ko:", 1), ("\x1b[2J.ko:", 1)]
    {
        let error = Index::parse(&Sources { dep, ..Sources::default() }, Limits::DEFAULT).unwrap_err();
        assert!(matches!(error, KmodError::BadLine { line: seen, .. } if seen == line), "{dep:?}: {error}");
    }
    let alias = "alias onlyone";
    let error = Index::parse(&Sources { alias, ..Sources::default() }, Limits::DEFAULT).unwrap_err();
    assert_eq!(error.to_string(), r#"modules.alias, line 1: wanted `alias PATTERN NAME`, saw "alias onlyone""#);
}

#[test]
fn a_module_is_one_file() {
    let dep = "kernel/a-b.ko:\nkernel/c.ko:\nupdates/a_b.ko.xz:\n";
    let error = Index::parse(&Sources { dep, ..Sources::default() }, Limits::DEFAULT).unwrap_err();
    let want = "modules.dep has two files for the module a-b: kernel/a-b.ko and updates/a_b.ko.xz";
    assert_eq!(error.to_string(), want);
}

#[test]
fn counts_are_limited() {
    let dep = "a.ko:\nb.ko:\nc.ko:\n";
    let parse = |limits| Index::parse(&Sources { dep, ..Sources::default() }, limits).map(drop);
    let few = parse(Limits { modules: 2, ..Limits::DEFAULT });
    assert!(matches!(few, Err(KmodError::TooLarge { what: "modules", limit: 2, .. })));
    let short = parse(Limits { bytes: 17, ..Limits::DEFAULT });
    assert!(matches!(short, Err(KmodError::TooLarge { what: "bytes", seen: 18, .. })));
}

proptest! {
    /// Whatever the graph: an order in which each module follows its needs, or a cycle.
    #[test]
    fn an_order_keeps_every_promise(edges in proptest::collection::vec((0u8..12, 0u8..12), 0..30)) {
        let mut dep = String::new();
        for module in 0..12 {
            let needs: Vec<_> =
                edges.iter().filter(|edge| edge.0 == module).map(|edge| format!("m{}.ko", edge.1)).collect();
            writeln!(dep, "m{module}.ko: {}", needs.join(" ")).unwrap();
        }
        if let Ok(order) = order(&dep, "", "m0") {
            let place = |module: u8| order.iter().position(|name| *name == format!("m{module}"));
            prop_assert_eq!(place(0), Some(order.len() - 1));
            for (module, need) in edges {
                if let Some(at) = place(module) {
                    prop_assert!(place(need).is_some_and(|needed| needed < at));
                }
            }
        }
    }

    #[test]
    fn any_text_ends_without_a_panic(dep in "([a-c]\\.ko(: [a-c]\\.ko)?\n|.{0,9}\n){0,6}", softdep in "softdep [a-c] (pre: [a-c]){0,2}") {
        let sources = Sources { dep: &dep, alias: &dep, softdep: &softdep, builtin: &dep };
        if let Ok(index) = Index::parse(&sources, Limits::DEFAULT) {
            for name in index.names() {
                let _ = index.load_order(name);
            }
        }
    }
}
