//! The module tree of a crate, from the `mod` declarations of its files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::tokens::tokenize;

/// The modules of a crate that have a file. The first one is the root.
pub(super) struct ModuleTree {
    pub(super) modules: Vec<Module>,
}

/// A module and its file.
pub(super) struct Module {
    pub(super) file: PathBuf,
    pub(super) parent: Option<usize>,
    pub(super) children: BTreeMap<String, usize>,
    pub(super) tokens: Vec<String>,
}

impl ModuleTree {
    /// Reads the root file and all files that it declares.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self { modules: Vec::new() };
        let folder = root.parent().context("a file without a folder")?;
        tree.add(root, folder, None)?;
        Ok(tree)
    }

    /// Adds the module of this file; the files of its children are in `folder`.
    fn add(&mut self, file: &Path, folder: &Path, parent: Option<usize>) -> Result<usize> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let index = self.modules.len();
        let tokens = tokenize(&text);
        let declared: Vec<String> = tokens
            .windows(3)
            .filter(|window| window[0] == "mod" && window[2] == ";")
            .map(|window| window[1].clone())
            .collect();
        self.modules.push(Module { file: file.to_owned(), parent, children: BTreeMap::new(), tokens });
        for name in declared {
            let own_folder = folder.join(&name);
            let files = [folder.join(format!("{name}.rs")), own_folder.join("mod.rs")];
            if let Some(file) = files.iter().find(|file| file.is_file()) {
                let child = self.add(file, &own_folder, Some(index))?;
                self.modules[index].children.insert(name, child);
            }
        }
        Ok(index)
    }
}
