use super::*;
use crate::newc::Archive;
use crate::pack::compress;
use std::process::Command;

const VERSION: &str = "6.1.0-test";

/// A module as the compiler and depmod see it.
struct Fixture {
    path: &'static str,
    exports: &'static str,
    uses: &'static str,
    info: &'static str,
}

/// Shaped after Debian's 6.1: a dependency of depth two, a soft dependency on an alias, some compressed (not with gzip, which Debian's depmod cannot read).
const FIXTURES: [Fixture; 8] = [
    Fixture { path: "kernel/net/core/failover.ko", exports: "failover_register", uses: "", info: "" },
    Fixture {
        path: "kernel/drivers/net/net_failover.ko.xz",
        exports: "net_failover_create",
        uses: "failover_register",
        info: "",
    },
    Fixture { path: "kernel/drivers/virtio/virtio.ko", exports: "register_virtio_driver", uses: "", info: "" },
    Fixture {
        path: "kernel/drivers/virtio/virtio_ring.ko.zst",
        exports: "vring_interrupt",
        uses: "register_virtio_driver",
        info: "",
    },
    Fixture {
        path: "kernel/drivers/net/virtio_net.ko.zst",
        exports: "",
        uses: "net_failover_create vring_interrupt register_virtio_driver",
        info: r"alias=virtio:d00000001v*",
    },
    Fixture { path: "kernel/arch/x86/crypto/crc32c-intel.ko", exports: "", uses: "", info: "alias=crc32c" },
    Fixture { path: "kernel/lib/libcrc32c.ko", exports: "crc32c", uses: "", info: "softdep=pre: crc32c" },
    Fixture { path: "kernel/fs/xfs/xfs.ko", exports: "", uses: "crc32c", info: "alias=fs-xfs" },
];

fn run(program: &str, arguments: &[&str]) -> String {
    let out = Command::new(program)
        .args(arguments)
        .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
        .output()
        .unwrap_or_else(|error| panic!("these tests need {program} (packages gcc, kmod, xz-utils, zstd): {error}"));
    assert!(out.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// C that puts a text into a section of the module.
fn in_section(name: &str, text: &str) -> String {
    let variable = name.trim_start_matches(['.', '_']);
    format!("__attribute__((section(\"{name}\"),used)) static const char {variable}[] = \"{text}\";\n")
}

/// Compiles the fixtures, so that the real depmod can read them.
fn compile(root: &Path) {
    let directory = root.join("lib/modules").join(VERSION);
    for fixture in FIXTURES {
        let plain = directory.join(stored(fixture.path, false));
        std::fs::create_dir_all(plain.parent().unwrap()).unwrap();
        let source = plain.with_extension("c");
        let mut code = String::new();
        code += &in_section(".modinfo", &format!("license=GPL\\0{}", fixture.info));
        if !fixture.exports.is_empty() {
            code += &in_section("__ksymtab_strings", fixture.exports);
        }
        for symbol in fixture.uses.split_ascii_whitespace() {
            writeln!(code, "extern char {symbol}; char *use_{symbol} = &{symbol};").unwrap();
        }
        std::fs::write(&source, code).unwrap();
        run("cc", &["-c", "-fno-pic", "-o", plain.to_str().unwrap(), source.to_str().unwrap()]);
        std::fs::remove_file(source).unwrap();
        let compressor = [("xz", ".xz", "--check=crc32"), ("zstd", ".zst", "--rm")];
        if let Some((program, _, option)) = compressor.iter().find(|(_, suffix, _)| fixture.path.ends_with(suffix)) {
            run(program, &["-q", option, plain.to_str().unwrap()]);
        }
    }
    let builtin = "kernel/drivers/virtio/virtio_pci.ko\nkernel/fs/ext4/ext4.ko\n";
    std::fs::write(directory.join("modules.builtin"), builtin).unwrap();
    std::fs::write(directory.join("modules.order"), "").unwrap();
    run("depmod", &["-b", root.to_str().unwrap(), VERSION]);
}

/// What modprobe would load, in order, as paths below the modules' directory.
fn modprobe(root: &Path, version: &str, name: &str) -> Vec<String> {
    let root_text = root.to_str().unwrap();
    // Without the host's own /etc/modprobe.d.
    let out = run("modprobe", &["-C", "/dev/null", "-d", root_text, "-S", version, "--show-depends", name]);
    let below = format!("{root_text}/lib/modules/{version}/");
    let mut paths = Vec::new();
    for line in out.lines().filter(|line| !line.starts_with("builtin ")) {
        let path = line.strip_prefix("insmod ").and_then(|path| path.trim().strip_prefix(&below));
        let path = path.unwrap_or_else(|| panic!("modprobe said {line:?}")).to_owned();
        // It repeats what several soft dependencies need.
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|&name| name.to_owned()).collect()
}

fn packed(selection: &Selection<'_>, keep_compressed: bool) -> Vec<(String, Vec<u8>)> {
    let mut tree = Tree::new();
    selection.add_to(&mut tree, keep_compressed).unwrap();
    let bytes = tree.to_newc(0).unwrap();
    let files = Archive::new(&bytes).map(Result::unwrap).filter(crate::newc::Entry::is_file);
    files.map(|entry| (String::from_utf8(entry.name.to_vec()).unwrap(), entry.data.to_vec())).collect()
}

fn index(kernel: &KernelTree) -> Index<'_> {
    let sources =
        Sources { dep: &kernel.dep, alias: &kernel.alias, softdep: &kernel.softdep, builtin: &kernel.builtin };
    Index::parse(&sources, Limits::DEFAULT).unwrap()
}

#[test]
fn the_order_is_modprobes() {
    let root = tempfile::tempdir().unwrap();
    compile(root.path());
    let kernel = KernelTree::open(root.path()).unwrap();
    assert_eq!(kernel.version(), VERSION);
    for (name, count) in [("virtio_net", 5), ("xfs", 3), ("crc32c-intel", 1), ("failover", 1)] {
        let order = index(&kernel).load_order(name).unwrap();
        assert_eq!(order, modprobe(root.path(), VERSION, name), "{name}");
        assert_eq!(order.len(), count, "{name}");
    }
}

/// depmod over the packed files writes the same dependencies and aliases as we cut out of the kernel's.
#[test]
fn the_packed_indexes_are_depmods() {
    let root = tempfile::tempdir().unwrap();
    compile(root.path());
    let kernel = KernelTree::open(root.path()).unwrap();
    let selection = kernel.select(&names(&["virtio-net", "xfs", "ext4"])).unwrap();
    let out = tempfile::tempdir().unwrap();
    let files = packed(&selection, false);
    for (path, data) in &files {
        assert!(path.starts_with("lib/modules/6.1.0-test/"), "{path}");
        assert_eq!(!path.contains("/modules."), data.starts_with(b"\x7fELF"), "{path}");
        let path = out.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, data).unwrap();
    }
    let directory = out.path().join("lib/modules").join(VERSION);
    let sorted = |name: &str| {
        let text = std::fs::read_to_string(directory.join(name)).unwrap();
        let mut lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let indexes = ["modules.dep", "modules.alias", "modules.softdep"];
    let ours = indexes.map(sorted);
    assert_eq!(ours.each_ref().map(Vec::len), [8, 3, 1]);
    assert_eq!(sorted("modules.builtin"), ["kernel/fs/ext4/ext4.ko"]);
    std::fs::write(directory.join("modules.order"), "").unwrap();
    run("depmod", &["-b", out.path().to_str().unwrap(), VERSION]);
    assert_eq!(indexes.map(sorted), ours);
}

#[test]
fn only_what_is_needed_is_packed() {
    let root = tempfile::tempdir().unwrap();
    compile(root.path());
    let kernel = KernelTree::open(root.path()).unwrap();
    let selection = kernel.select(&names(&["qemu-net", "net_failover"])).unwrap();
    assert_eq!(selection.paths().count(), 5);
    assert_eq!(selection.builtin().collect::<Vec<_>>(), ["virtio_pci"]);
    let kept = packed(&selection, true);
    let net = kept.iter().find(|(path, _)| path.ends_with("virtio_net.ko.zst")).unwrap();
    assert_eq!(Format::of(&net.1).unwrap(), Format::Zstd);
    let dep = kept.iter().find(|(path, _)| path.ends_with("modules.dep")).unwrap();
    assert!(String::from_utf8_lossy(&dep.1).contains("virtio_ring.ko.zst: kernel/drivers/virtio/virtio.ko\n"));
    let wishes = kernel.select(&names(&["net"])).unwrap();
    assert!(wishes.absent().contains(&"e1000e".to_owned()) && !wishes.absent().contains(&"virtio_net".to_owned()));
}

#[test]
fn errors_say_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    let missing = KernelTree::open(root.path()).unwrap_err();
    assert!(matches!(missing, ModulesError::NoVersion { .. }), "{missing}");
    let directory = root.path().join("usr/lib/modules").join(VERSION);
    std::fs::create_dir_all(&directory).unwrap();
    let error = KernelTree::open(root.path()).unwrap_err().to_string();
    let advice = format!("`depmod -b {} {VERSION}` writes it", root.path().display());
    assert!(error.ends_with(&advice), "{error}");

    let dep = "kernel/virtio_net.ko:\nkernel/virtio_blk.ko:\nkernel/dummy.ko:\nkernel/broken.ko.zst:\n";
    std::fs::write(directory.join("modules.dep"), dep).unwrap();
    let kernel = KernelTree::open(root.path()).unwrap();
    let error = kernel.select(&names(&["virtio_nets"])).unwrap_err().to_string();
    assert_eq!(error, "kernel 6.1.0-test has no module virtio_nets; near it are virtio_net");
    let error = kernel.select(&names(&["squash"])).unwrap_err().to_string();
    assert_eq!(error, "kernel 6.1.0-test has no module squash");
    let error = kernel.select(&names(&["root"])).unwrap_err();
    assert!(matches!(&error, ModulesError::Unknown { name, .. } if name == "loop"), "{error}");

    std::fs::create_dir(directory.join("kernel")).unwrap();
    std::fs::write(directory.join("kernel/broken.ko.zst"), "not zstd").unwrap();
    let broken = kernel.select(&names(&["broken"])).unwrap();
    assert!(matches!(broken.add_to(&mut Tree::new(), false), Err(ModulesError::Decompress { .. })));
    assert!(broken.add_to(&mut Tree::new(), true).is_ok());

    std::fs::create_dir(root.path().join("usr/lib/modules/6.12")).unwrap();
    let error = KernelTree::open(root.path()).unwrap_err();
    assert!(matches!(error, ModulesError::ManyVersions { versions, .. } if versions == ["6.1.0-test", "6.12"]));
}

#[test]
fn edits_are_counted() {
    for (a, b, want) in [("", "abc", 3), ("virtio", "virtio", 0), ("kitten", "sitting", 3), ("ab", "ba", 2)] {
        assert_eq!(edits(a.as_bytes(), b.as_bytes()), want, "{a} {b}");
    }
}

/// The same comparison over a real kernel: `KERNEL_ROOT=DIR cargo test -p initramfs -- --ignored`.
#[test]
#[ignore = "needs KERNEL_ROOT, a folder with a kernel's unpacked package and depmod's indexes"]
fn the_order_is_modprobes_for_a_whole_kernel() {
    let root = PathBuf::from(std::env::var("KERNEL_ROOT").expect("KERNEL_ROOT is not set"));
    let kernel = KernelTree::open(&root).unwrap();
    let index = index(&kernel);
    for name in index.names() {
        let (ours, theirs) = (index.load_order(name).unwrap(), modprobe(&root, kernel.version(), name));
        // Of several softdep lines of one module, modprobe reads the first only.
        let softdep_lines = kernel.softdep.matches(&format!("softdep {} ", normal(name))).count();
        if softdep_lines <= 1 {
            assert_eq!(ours, theirs, "{name}");
        } else {
            assert!(
                theirs.iter().all(|path| ours.contains(&path.as_str())),
                "{name}: {ours:?} lacks some of {theirs:?}"
            );
        }
    }
    let selection = kernel.select(&names(&["qemu-net", "net", "root"])).unwrap();
    let mut tree = Tree::new();
    selection.add_to(&mut tree, false).unwrap();
    let archive = tree.to_newc(0).unwrap();
    let packed = compress::zstd(&archive).unwrap();
    println!("{}: {} modules, {} bytes packed", kernel.version(), selection.paths().count(), packed.len());
    println!("built in: {:?}", selection.builtin().collect::<Vec<_>>());
    println!("absent: {:?}", selection.absent());
}
