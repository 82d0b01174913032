//! The screen across the jump.
//!
//! The next kernel is told what the firmware or the boot loader set up (`screen_info` of Linux, which `kexec_file_load` copies): VGA
//! text, or a framebuffer with an address and a mode. It goes on with that, unless a driver of this kernel has changed the mode
//! behind it: then the picture stands still or turns to noise, until the release loads a driver of its own for the graphics card.

use std::path::Path;

/// What framebuffers are called (`/sys/class/graphics/fb0/name`) whose drivers leave the mode as they found it: efifb, vesafb,
/// simplefb, and the DRM drivers that stand in for them.
const UNCHANGED: [&str; 6] = ["EFI VGA", "VESA VGA", "simple", "simpledrmdrmfb", "efidrmdrmfb", "vesadrmdrmfb"];

/// The framebuffer that the next kernel cannot go on with, if there is one below `root` (normally `/`).
pub fn lost(root: &Path) -> Option<String> {
    let entries = std::fs::read_dir(root.join("sys/class/graphics")).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("name")).ok());
    names.map(|name| name.trim_end().to_owned()).find(|name| !name.is_empty() && !UNCHANGED.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with a framebuffer of this name; the terminal on it has none.
    fn with(name: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let class = root.path().join("sys/class/graphics");
        for directory in ["fb0", "fbcon"] {
            std::fs::create_dir_all(class.join(directory)).unwrap();
        }
        std::fs::write(class.join("fb0/name"), format!("{name}\n")).unwrap();
        root
    }

    #[test]
    fn what_the_firmware_set_up_is_passed_on() {
        for name in ["EFI VGA", "VESA VGA", "simpledrmdrmfb"] {
            assert_eq!(lost(with(name).path()), None, "{name}");
        }
    }

    #[test]
    fn a_screen_with_a_driver_of_its_own_is_lost() {
        assert_eq!(lost(with("bochs-drmdrmfb").path()).as_deref(), Some("bochs-drmdrmfb"));
    }

    #[test]
    fn without_a_framebuffer_nothing_is_lost() {
        assert_eq!(lost(tempfile::tempdir().unwrap().path()), None);
    }
}
