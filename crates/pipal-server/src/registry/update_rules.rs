//! Updates that are refused because stored rows would lose their identity (server surface 2.5).

use crate::api::database::{Measure, Stream, TagFamilySpec, Trace};

/// A stream keeps its entity, the tags of it, and the families that hold those.
pub fn stream(old: &Stream, new: &Stream) -> Result<(), String> {
    if old.entity != new.entity {
        return Err("entity is different".to_owned());
    }
    entity_tags_stay(&old.tag_families, &new.tag_families, entity_of(&old.entity))
}

/// A measure keeps also its interval, its mode and the specification of every field that stays.
pub fn measure(old: &Measure, new: &Measure) -> Result<(), String> {
    if old.interval != new.interval {
        return Err(format!("interval is different: {:?} became {:?}", old.interval, new.interval));
    }
    if old.entity != new.entity {
        return Err("entity is different".to_owned());
    }
    if old.index_mode != new.index_mode {
        return Err("index mode is different".to_owned());
    }
    entity_tags_stay(&old.tag_families, &new.tag_families, entity_of(&old.entity))?;
    for field in &old.fields {
        let changed = new.fields.iter().find(|f| f.name == field.name).is_some_and(|f| f != field);
        if changed {
            return Err(format!("field {} is different", field.name));
        }
    }
    Ok(())
}

/// A trace keeps the tags that the new definition needs for trace id, time and span id.
pub fn trace(old: &Trace, new: &Trace) -> Result<(), String> {
    let has = |trace: &Trace, name: &str| trace.tags.iter().any(|tag| tag.name == name);
    for name in [&new.trace_id_tag_name, &new.timestamp_tag_name, &new.span_id_tag_name] {
        if has(old, name) && !has(new, name) {
            return Err(format!("cannot delete reserved tag {name}"));
        }
    }
    Ok(())
}

fn entity_of(entity: &Option<crate::api::database::Entity>) -> &[String] {
    entity.as_ref().map_or(&[], |entity| &entity.tag_names)
}

fn entity_tags_stay(old: &[TagFamilySpec], new: &[TagFamilySpec], entity: &[String]) -> Result<(), String> {
    for family in old {
        let mut entity_tags = family.tags.iter().filter(|tag| entity.contains(&tag.name)).peekable();
        let Some(tag) = entity_tags.peek().copied() else { continue };
        let Some(kept) = new.iter().find(|f| f.name == family.name) else {
            return Err(format!(
                "cannot delete tag family {}: it contains entity tag {}",
                family.name, tag.name
            ));
        };
        if let Some(lost) = entity_tags.find(|tag| !kept.tags.iter().any(|t| t.name == tag.name)) {
            return Err(format!("cannot delete entity tag {}", lost.name));
        }
    }
    Ok(())
}
