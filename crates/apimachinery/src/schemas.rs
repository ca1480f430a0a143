//! The compiled schemas of all kinds that a registry serves.

use std::collections::HashMap;

use crate::{
    kind::{Kind, Registry},
    resource::Resource,
    schema::Schema,
};

/// The schemas of all served kinds.
#[derive(Clone, Debug)]
pub struct Schemas(HashMap<(&'static str, &'static str), Schema>);

impl Schemas {
    /// Compiles the schemas of the kinds of a registry.
    pub fn for_registry<W>(registry: &Registry<W>) -> Self {
        let resources = registry.served().map(Kind::resource);
        Self(resources.map(|resource| ((resource.group, resource.plural), Schema::for_resource(resource))).collect())
    }

    /// The schema of a served kind.
    pub fn get(&self, resource: &Resource) -> &Schema {
        &self.0[&(resource.group, resource.plural)]
    }
}
