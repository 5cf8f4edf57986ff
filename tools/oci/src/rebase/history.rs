//! What the configuration of an image says after its move to another base.

use sapwood::Result;
use serde_json::Value;

use crate::history::is_empty;
use crate::image::{CACHE_KEYS_FIELD, Configuration, Image, keep_cache_keys};
use crate::time;

/// The image's own configuration, over the layers and the history of the new base, where `old` layers
/// of the image were those of its old base, and `new` are those of the new one.
pub fn of_rebased(image: &Image, old: usize, onto: &Image, new: usize) -> Result<Configuration> {
    let mut value = image.configuration().to_value();
    let mut base = onto.configuration().to_value();
    let own = own_steps(&steps(&mut value), &steps(&mut base.clone()), old);
    let mut history = steps(&mut base);
    history.extend(own);
    value["history"] = history.into();
    keep_cache_keys(&mut base, new);
    let of_the_base =
        ["architecture", "os", "os.version", "os.features", "variant", CACHE_KEYS_FIELD];
    for field in of_the_base {
        match base.get_mut(field).map(Value::take) {
            Some(said) => value[field] = said,
            None => {
                value.as_object_mut().map(|fields| fields.remove(field));
            }
        }
    }
    let known = onto.configuration().diff_ids().iter().take(new).map(ToString::to_string);
    value["rootfs"]["diff_ids"] = known.collect();
    value["created"] = time::written(time::now()).into();
    Configuration::from_value(&value)
}

/// The steps of an image that are not those of its base: what stands behind the last of `layers`
/// steps that made one, without empty steps there that the new base has at the same place.
fn own_steps(steps: &[Value], base: &[Value], layers: usize) -> Vec<Value> {
    let mut made = 0;
    let mut own = steps
        .iter()
        .position(|step| {
            made += usize::from(!is_empty(step));
            made == layers
        })
        .map_or(steps.len(), |last| last + 1);
    if steps[..own] == base[..own.min(base.len())] {
        let same =
            |place: &usize| is_empty(&steps[*place]) && base.get(*place) == steps.get(*place);
        own += (own..steps.len()).take_while(same).count();
    }
    steps[own..].to_vec()
}

fn steps(configuration: &mut Value) -> Vec<Value> {
    match configuration["history"].take() {
        Value::Array(steps) => steps,
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_steps_of_the_base_end_with_its_last_layer_and_the_empty_ones_they_share() {
        let step = |name: &str, empty: bool| match empty {
            true => json!({ "created_by": name, "empty_layer": true }),
            false => json!({ "created_by": name }),
        };
        let image = [step("a", false), step("cmd", true), step("b", false), step("env", true)];
        let names = |steps: Vec<Value>| -> Vec<String> {
            steps.iter().map(|step| step["created_by"].as_str().unwrap().to_owned()).collect()
        };
        // The new base stands on the old one: its CMD is the old base's own.
        let base = [step("a", false), step("cmd", true), step("patch", false)];
        assert_eq!(names(own_steps(&image, &base, 1)), ["b", "env"]);
        // Another base altogether: what is not known to be the base's is the image's.
        let base = [step("x", false), step("y", true)];
        assert_eq!(names(own_steps(&image, &base, 1)), ["cmd", "b", "env"]);
        assert_eq!(names(own_steps(&image, &base, 2)), ["env"]);
        // Fewer steps than layers.
        assert!(own_steps(&image, &base, 3).is_empty());
    }
}
