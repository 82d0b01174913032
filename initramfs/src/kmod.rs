//! The kernel module indexes that `depmod` writes: which file holds a module, what has to be loaded before it, and which
//! module a device asks for.
//!
//! Guarantees: pure functions over text, everything is borrowed from it; parsing is one pass and a sort (init does it on
//! every boot, under emulation too), a look-up is a binary search; [`Limits`] bound every count; a cycle is a typed error,
//! never a loop. Formats: modules.dep(5), modprobe.d(5) (`alias`, `softdep`).

mod order;
mod pattern;

use core::cmp::Ordering;

/// What the indexes of one kernel may hold. Debian's 6.1 has 4,000 modules and 21,000 aliases in 1.6 MB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of one index.
    pub bytes: usize,
    /// Most modules, those that are built in included.
    pub modules: usize,
    /// Most lines of `modules.alias`, and of `modules.softdep`.
    pub lines: usize,
    /// Longest chain of modules that need one another: bounds the recursion.
    pub depth: usize,
}

impl Limits {
    /// Far above any distribution's kernel.
    pub const DEFAULT: Self = Self { bytes: 32 << 20, modules: 1 << 16, lines: 1 << 18, depth: 64 };
}

/// Why an index cannot be used, or a module not be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KmodError {
    /// An index is larger than the limit.
    #[error("{file} has {seen} {what}; at most {limit} are allowed")]
    TooLarge {
        /// The index's file name.
        file: &'static str,
        /// What was counted.
        what: &'static str,
        /// How many there are, or at least are.
        seen: usize,
        /// The limit.
        limit: usize,
    },
    /// A line does not have the form of its file.
    #[error("{file}, line {line}: wanted `{wanted}`, saw {seen:?}")]
    BadLine {
        /// The index's file name.
        file: &'static str,
        /// The line's number, from 1.
        line: usize,
        /// The form of a line.
        wanted: &'static str,
        /// The line, cut to a readable length.
        seen: String,
    },
    /// Two files hold a module of one name; depmod never writes that.
    #[error("modules.dep has two files for the module {name}: {first} and {second}")]
    Twice {
        /// The module.
        name: String,
        /// One of its files.
        first: String,
        /// The other one.
        second: String,
    },
    /// No such module in `modules.dep`, nor built into the kernel.
    #[error("module {name} is neither in modules.dep nor built into the kernel")]
    Unknown {
        /// The name that was looked for.
        name: String,
    },
    /// A module needs itself, directly or through others.
    #[error("module {name} needs itself (modules.dep has a cycle)")]
    Cycle {
        /// The module at which the cycle closes.
        name: String,
    },
    /// A chain of dependencies is longer than the limit.
    #[error("module {name} stands at the end of a chain of more than {limit} modules")]
    TooDeep {
        /// Where the chain was cut.
        name: String,
        /// The limit.
        limit: usize,
    },
}

/// The text of the four index files; an absent file is an empty text.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sources<'a> {
    /// `modules.dep`: `path: path path`.
    pub dep: &'a str,
    /// `modules.alias`: `alias PATTERN NAME`.
    pub alias: &'a str,
    /// `modules.softdep`: `softdep NAME pre: NAME … post: NAME …`.
    pub softdep: &'a str,
    /// `modules.builtin`: one path per line.
    pub builtin: &'a str,
}

/// One line of `modules.dep`.
#[derive(Debug, Clone, Copy)]
struct Module<'a> {
    name: &'a str,
    path: &'a str,
    /// Paths of what it needs, separated by spaces.
    needs: &'a str,
}

#[derive(Debug, Clone, Copy)]
struct Alias<'a> {
    /// The part of the pattern that a look-up can search for, see [`pattern::bus`].
    bus: &'a str,
    pattern: &'a str,
    module: &'a str,
}

#[derive(Debug, Clone, Copy)]
struct Softdep<'a> {
    module: &'a str,
    /// `pre: NAME … post: NAME …`
    rest: &'a str,
}

/// The indexes of one kernel, sorted for look-up.
#[derive(Debug, Clone)]
pub struct Index<'a> {
    modules: Vec<Module<'a>>,
    aliases: Vec<Alias<'a>>,
    softdeps: Vec<Softdep<'a>>,
    builtin: Vec<&'a str>,
    limits: Limits,
}

impl<'a> Index<'a> {
    /// Reads the four texts.
    pub fn parse(sources: &Sources<'a>, limits: Limits) -> Result<Self, KmodError> {
        let mut modules = parse_dep(sources.dep, &limits)?;
        modules.sort_by(|a, b| compare(a.name, b.name));
        if let Some([first, second]) =
            modules.array_windows().find(|[first, second]| same_name(first.name, second.name))
        {
            let [name, first, second] = [first.name, first.path, second.path].map(str::to_owned);
            return Err(KmodError::Twice { name, first, second });
        }
        let mut aliases = parse_alias(sources.alias, &limits)?;
        aliases.sort_by(|a, b| compare(a.bus, b.bus));
        let mut softdeps = parse_softdep(sources.softdep, &limits)?;
        softdeps.sort_by(|a, b| compare(a.module, b.module));
        let mut builtin = parse_builtin(sources.builtin, &limits)?;
        builtin.sort_by(|a, b| compare(a, b));
        Ok(Self { modules, aliases, softdeps, builtin, limits })
    }

    /// Path of a module below `/lib/modules/VERSION/`, if it is a file.
    pub fn path(&self, name: &str) -> Option<&'a str> {
        self.position(name).map(|position| self.modules[position].path)
    }

    /// Whether a module is part of the kernel itself.
    pub fn is_builtin(&self, name: &str) -> bool {
        self.builtin.binary_search_by(|builtin| compare(builtin, name)).is_ok()
    }

    /// Names of the modules that are files, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.modules.iter().map(|module| module.name)
    }

    /// Names of the modules whose alias pattern matches a device's `modalias`, in the order of `modules.alias`.
    pub fn matching(&self, modalias: &str) -> Vec<&'a str> {
        let mut found: Vec<&str> = Vec::new();
        // Patterns that begin with a wildcard stand under the empty bus.
        for bus in [pattern::bus(modalias), ""] {
            let matching = equal_range(&self.aliases, |alias| compare(alias.bus, bus));
            for alias in matching.iter().filter(|alias| pattern::matches(alias.pattern, modalias)) {
                if !found.contains(&alias.module) {
                    found.push(alias.module);
                }
            }
            if bus.is_empty() {
                break;
            }
        }
        found
    }

    /// Paths of the files to load for a module, in order: what it needs, then itself. Soft dependencies stand before and
    /// after it as they say; one that is unknown, or would close a cycle, is left out. Empty if it is built in.
    pub fn load_order(&self, name: &str) -> Result<Vec<&'a str>, KmodError> {
        order::of(self, name)
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.modules.binary_search_by(|module| compare(module.name, name)).ok()
    }
}

/// The part of a sorted slice that compares as equal.
fn equal_range<T>(sorted: &[T], compare: impl Fn(&T) -> Ordering) -> &[T] {
    let start = sorted.partition_point(|item| compare(item).is_lt());
    let len = sorted[start..].partition_point(|item| compare(item).is_eq());
    &sorted[start..start + len]
}

/// `-` and `_` are the same in a module's name.
const fn normal(byte: u8) -> u8 {
    if byte == b'-' { b'_' } else { byte }
}

/// Orders module names as the kernel tells them apart.
fn compare(a: &str, b: &str) -> Ordering {
    a.bytes().map(normal).cmp(b.bytes().map(normal))
}

/// Whether two spellings name the same module: `-` and `_` are the same.
pub fn same_name(a: &str, b: &str) -> bool {
    compare(a, b).is_eq()
}

/// A module's name: its file name up to `.ko`, `.ko.xz`, `.ko.zst` or `.ko.gz`.
pub fn name_of_path(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    let plain =
        ["", ".xz", ".zst", ".gz"].iter().find_map(|compression| file.strip_suffix(compression)?.strip_suffix(".ko"));
    plain.unwrap_or(file)
}

/// A name or path that can be shown as it is.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A path that stays below the directory of the modules.
fn is_relative(path: &str) -> bool {
    is_plain(path) && !path.starts_with('/') && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

const DEP: &str = "modules.dep";
const ALIAS: &str = "modules.alias";
const SOFTDEP: &str = "modules.softdep";
const BUILTIN: &str = "modules.builtin";

fn parse_dep<'a>(text: &'a str, limits: &Limits) -> Result<Vec<Module<'a>>, KmodError> {
    parse_lines(text, DEP, "PATH: PATH…", ("modules", limits.modules), limits, |line| {
        let (path, needs) = line.split_once(':')?;
        let relative = is_relative(path) && needs.split_ascii_whitespace().all(is_relative);
        relative.then(|| Module { name: name_of_path(path), path, needs })
    })
}

fn parse_alias<'a>(text: &'a str, limits: &Limits) -> Result<Vec<Alias<'a>>, KmodError> {
    parse_lines(text, ALIAS, "alias PATTERN NAME", ("lines", limits.lines), limits, |line| {
        let (pattern, module) = line.strip_prefix("alias ")?.trim().rsplit_once(' ')?;
        is_plain(module).then(|| Alias { bus: pattern::fixed_bus(pattern), pattern: pattern.trim_end(), module })
    })
}

fn parse_softdep<'a>(text: &'a str, limits: &Limits) -> Result<Vec<Softdep<'a>>, KmodError> {
    let wanted = "softdep NAME pre: NAME… post: NAME…";
    parse_lines(text, SOFTDEP, wanted, ("lines", limits.lines), limits, |line| {
        let (module, rest) = line.strip_prefix("softdep ")?.trim().split_once(' ')?;
        Some(Softdep { module, rest })
    })
}

fn parse_builtin<'a>(text: &'a str, limits: &Limits) -> Result<Vec<&'a str>, KmodError> {
    parse_lines(text, BUILTIN, "PATH", ("modules", limits.modules), limits, |line| Some(name_of_path(line)))
}

/// One item per line that is neither empty nor a comment.
fn parse_lines<'a, T>(
    text: &'a str,
    file: &'static str,
    wanted: &'static str,
    (what, most): (&'static str, usize),
    limits: &Limits,
    item: impl Fn(&'a str) -> Option<T>,
) -> Result<Vec<T>, KmodError> {
    let too_large = |what, seen, limit| KmodError::TooLarge { file, what, seen, limit };
    if text.len() > limits.bytes {
        return Err(too_large("bytes", text.len(), limits.bytes));
    }
    let mut items = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if items.len() == most {
            return Err(too_large(what, most + 1, most));
        }
        items.push(item(line).ok_or_else(|| KmodError::BadLine {
            file,
            line: number + 1,
            wanted,
            seen: line.chars().take(80).collect(),
        })?);
    }
    Ok(items)
}

#[cfg(test)]
mod tests;
