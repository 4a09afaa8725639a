use super::*;
use crate::measure::testing::measure;

fn schema() -> RowSchema {
    let definition = measure("m")
        .family("default", &["id:str", "host:str", "zone:str"])
        .family("more", &["x:int"])
        .entity(&["host"])
        .sharding(&["zone", "host"])
        .fields(&["cnt:int", "lat:int"])
        .build();
    RowSchema::compile(&definition, &[]).unwrap()
}

fn column(schema: &RowSchema, name: &str) -> Option<usize> {
    schema.layout().columns().iter().position(|column| &*column.key.name == name)
}

fn spec(families: &[(&str, &[&str])], fields: &[&str]) -> Spec {
    let texts = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    Spec {
        families: families.iter().map(|(name, tags)| (name.to_string(), texts(tags))).collect(),
        fields: texts(fields),
    }
}

#[test]
fn without_a_spec_positions_are_those_of_the_schema() {
    let schema = schema();
    let mapping = Mapping::compile(&schema, None);
    let targets = |name, key| TagTargets { column: column(&schema, name), key };
    assert_eq!(
        mapping.family(0),
        [targets("id", None), TagTargets { column: None, key: Some(0) }, targets("zone", Some(1))]
    );
    assert_eq!(mapping.family(1), [targets("x", None)]);
    assert_eq!(mapping.family(2), []);
    assert_eq!(
        (mapping.field(0), mapping.field(1), mapping.field(2)),
        (column(&schema, "cnt"), column(&schema, "lat"), None)
    );
    assert_eq!(
        (mapping.entity(), mapping.sharding(), mapping.keys_named()),
        (&[0][..], &[1, 0][..], &[true, true][..])
    );
    assert!(!mapping.has_surplus_families(2));
    assert!(mapping.has_surplus_families(3));
}

#[test]
fn a_spec_maps_by_name_and_what_it_does_not_know_goes_nowhere() {
    let schema = schema();
    let spec = spec(
        &[("default", &["host", "ghost", "id"]), ("nowhere", &["zone"]), ("more", &["x"]), ("more", &["x"])],
        &["lat", "ghost", "cnt"],
    );
    let mapping = Mapping::compile(&schema, Some(&spec));
    let targets = |name| TagTargets { column: column(&schema, name), key: None };
    let host = TagTargets { column: None, key: Some(0) };
    assert_eq!(mapping.family(0), [host, TagTargets::default(), targets("id")]);
    assert_eq!(
        mapping.family(1),
        [TagTargets::default()],
        "a tag under the family of another is not the tag"
    );
    assert_eq!(mapping.family(2), [targets("x")]);
    assert_eq!(
        (mapping.field(0), mapping.field(1), mapping.field(2)),
        (column(&schema, "lat"), None, column(&schema, "cnt"))
    );
    assert_eq!(mapping.keys_named(), [true, false], "the sharding tag is not named and counts as null");
    assert!(!mapping.has_surplus_families(9), "with a spec, families are not counted");
}

#[test]
fn an_empty_spec_names_nothing() {
    let mapping = Mapping::compile(&schema(), Some(&Spec::default()));
    assert_eq!(
        (mapping.family(0), mapping.field(0), mapping.keys_named()),
        (&[][..], None, &[false, false][..])
    );
}
