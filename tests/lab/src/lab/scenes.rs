//! The scenes of one lab.

use anyhow::{Context, bail, ensure};

use super::Lab;
use crate::{
    scene::{self, Scene},
    stage::{self, Started},
};

impl Lab {
    /// Sets a scene up. [`Scene::flows`] and [`Scene::checks`] tell what is true then.
    ///
    /// # Errors
    /// Where there is no such scene, it is on already, or a part of it cannot be set up: then it is struck again.
    pub fn scene(&mut self, name: &str) -> anyhow::Result<&'static Scene> {
        let scene = scene::scene(name)?;
        let _hold = self.hold()?;
        let on = self.scenes().collect::<Vec<_>>();
        ensure!(on.iter().all(|other| other.name != name), "scene {name} is on already in lab {}", self.name);
        if let Some(other) = on.iter().find(|other| scene.changes_domain() && other.changes_domain()) {
            bail!("scenes {name} and {} both change the domain controllers: end that one first", other.name);
        }
        self.state.scenes.push(name.to_owned());
        self.state.save(&self.name)?;
        let result = stage::set(&self.name, &self.state, scene).and_then(|started| self.adopt(started));
        if let Err(error) = result {
            // What was not set up cannot be struck: only the first error says something.
            drop(self.strike(scene));
            return Err(error.context(format!("set up scene {name}")));
        }
        Ok(scene)
    }

    /// Strikes a scene: the lab is as it was before.
    ///
    /// # Errors
    /// Where it is not on, or a part of it cannot be taken back.
    pub fn end_scene(&mut self, name: &str) -> anyhow::Result<()> {
        let scene = scene::scene(name)?;
        let _hold = self.hold()?;
        ensure!(self.scenes().any(|on| on.name == name), "scene {name} is not on in lab {}", self.name);
        self.strike(scene).with_context(|| format!("end scene {name}"))
    }

    /// Sets the access lists of a scene that is on back to their beginning: what they count and remember is forgotten.
    ///
    /// # Errors
    /// Where it is not on, or nft fails.
    pub fn rewind(&self, scene: &Scene) -> anyhow::Result<()> {
        ensure!(self.scenes().any(|on| on.name == scene.name), "scene {} is not on", scene.name);
        stage::rules(&self.name, scene)
    }

    fn strike(&mut self, scene: &'static Scene) -> anyhow::Result<()> {
        self.state.scenes.retain(|name| name != scene.name);
        let (started, struck) = stage::strike(&self.name, &self.state, scene);
        self.adopt(started).and(struck)
    }

    /// Takes charge of what a scene started, and remembers the scenes that are on.
    fn adopt(&mut self, started: Started) -> anyhow::Result<()> {
        self.children.extend(started.programs);
        let domain = started.domain;
        let answers = domain.map_or(Ok(()), |(domain, running)| self.await_domain(&domain, running));
        self.state.save(&self.name).and(answers)
    }

    /// The scenes that are on, the first one first.
    pub fn scenes(&self) -> impl Iterator<Item = &'static Scene> + use<'_> {
        self.state.scenes.iter().filter_map(|name| scene::scene(name).ok())
    }
}
