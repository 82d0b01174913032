//! Whether a kernel has what init needs: its configuration against `kernel-configs/required.config`.

/// What is required, each with its reason.
const REQUIRED: &str = include_str!("../../../kernel-configs/required.config");

/// The requirements that `config` (a kernel's `.config`) does not meet, each as `CONFIG_NAME (reason)`.
///
/// A module is as good as a built-in: which of them the initramfs has to carry is its packer's concern.
pub(super) fn missing(config: &str) -> Vec<String> {
    required()
        .filter(|(name, _)| {
            !config.lines().any(|line| line.strip_prefix(name).is_some_and(|value| matches!(value, "=y" | "=m")))
        })
        .map(|(name, reason)| format!("{name} ({reason})"))
        .collect()
}

fn required() -> impl Iterator<Item = (&'static str, &'static str)> {
    REQUIRED.lines().filter_map(|line| {
        let (setting, reason) = line.split_once('#')?;
        Some((setting.trim().strip_suffix("=y")?, reason.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_is_met_or_named() {
        let all = required().map(|(name, _)| format!("{name}=m\n")).collect::<Vec<_>>().concat();
        assert_eq!(missing(&all), Vec::<String>::new());
        let without = all.replace("CONFIG_KEXEC_FILE=m", "# CONFIG_KEXEC_FILE is not set\nCONFIG_KEXEC_FILE_SIG=y");
        assert_eq!(missing(&without), ["CONFIG_KEXEC_FILE (the jump (boot kernel only; `direct` works without))"]);
        assert_eq!(missing("").len(), required().count());
        assert!(required().count() > 15);
    }
}
