//! In which order the files of a module and its dependencies are loaded.
//!
//! Guarantees: every module stands behind all that it needs and occurs once; the order is modprobe's own (`--show-depends`);
//! each module is visited once, so the work grows with the dependencies and not with their combinations.

use super::{Index, KmodError, compare, equal_range, name_of_path};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    /// Its dependencies are being visited: who meets it again has found a cycle.
    Open,
    Done,
    /// A soft dependency that cannot be loaded.
    Failed,
}

pub(super) fn of<'a>(index: &Index<'a>, name: &str) -> Result<Vec<&'a str>, KmodError> {
    let Some(position) = index.position(name) else {
        return if index.is_builtin(name) { Ok(Vec::new()) } else { Err(KmodError::Unknown { name: name.to_owned() }) };
    };
    let mut walk = Walk { index, states: vec![State::New; index.modules.len()], paths: Vec::new(), depth: 0 };
    walk.visit(position)?;
    Ok(walk.paths)
}

struct Walk<'i, 'a> {
    index: &'i Index<'a>,
    states: Vec<State>,
    paths: Vec<&'a str>,
    depth: usize,
}

impl Walk<'_, '_> {
    fn visit(&mut self, position: usize) -> Result<(), KmodError> {
        let module = self.index.modules[position];
        match self.states[position] {
            State::Done => return Ok(()),
            State::Open => return Err(KmodError::Cycle { name: module.name.to_owned() }),
            // What failed as a wish may be had by now; if not, it fails at the same place, which costs little.
            State::New | State::Failed => {}
        }
        let limit = self.index.limits.depth;
        if self.depth == limit {
            return Err(KmodError::TooDeep { name: module.name.to_owned(), limit });
        }
        self.states[position] = State::Open;
        self.depth += 1;
        let visited = self.visit_with_needs(position);
        self.depth -= 1;
        self.states[position] = if visited.is_ok() { State::Done } else { State::Failed };
        visited?;
        // It is loaded by now: what comes after it may need it.
        self.visit_soft(module.name, "post:");
        Ok(())
    }

    fn visit_with_needs(&mut self, position: usize) -> Result<(), KmodError> {
        let module = self.index.modules[position];
        // depmod lists what is needed first at the end.
        for path in module.needs.split_ascii_whitespace().rev() {
            let name = name_of_path(path);
            let needed = self.index.position(name).ok_or_else(|| KmodError::Unknown { name: name.to_owned() })?;
            self.visit(needed)?;
        }
        self.visit_soft(module.name, "pre:");
        self.paths.push(module.path);
        Ok(())
    }

    /// Soft dependencies are wishes: what cannot be had is left out.
    fn visit_soft(&mut self, name: &str, kind: &str) {
        let index = self.index;
        for softdep in equal_range(&index.softdeps, |softdep| compare(softdep.module, name)) {
            let mut current = "";
            for word in softdep.rest.split_ascii_whitespace() {
                if matches!(word, "pre:" | "post:") {
                    current = word;
                } else if current == kind {
                    self.visit_wish(word);
                }
            }
        }
    }

    /// A soft dependency names a module or one of its aliases (`crc32c`).
    fn visit_wish(&mut self, wish: &str) {
        let index = self.index;
        if let Some(position) = index.position(wish) {
            self.visit_if_new(position);
        } else {
            for position in index.matching(wish).into_iter().filter_map(|name| index.position(name)) {
                self.visit_if_new(position);
            }
        }
    }

    fn visit_if_new(&mut self, position: usize) {
        if self.states[position] == State::New {
            // The reason would be about a module that nobody needs.
            let _ = self.visit(position);
        }
    }
}
