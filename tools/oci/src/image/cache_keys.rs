//! What a configuration says of the steps that made its layers.

use serde_json::Value;

/// The field of a configuration that says which build steps made its layers, for those who build from the
/// image elsewhere: a key for each layer, lowest first, null for what no step made. A key is true of its layer
/// over all that stands below it, and of no other.
pub const CACHE_KEYS_FIELD: &str = "sapwood.cache-keys";

/// Leaves the keys of the lowest `layers` layers alone: those that are what they were.
pub fn keep_cache_keys(configuration: &mut Value, layers: usize) {
    let Some(keys) = configuration.get_mut(CACHE_KEYS_FIELD).and_then(Value::as_array_mut) else {
        return;
    };
    keys.truncate(layers);
    if keys.iter().all(Value::is_null) {
        configuration.as_object_mut().map(|fields| fields.remove(CACHE_KEYS_FIELD));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_go_with_their_layers_and_the_field_with_the_last_key() {
        let kept = |layers| {
            let mut value = json!({ CACHE_KEYS_FIELD: [null, "a", "b"], "os": "linux" });
            keep_cache_keys(&mut value, layers);
            value
        };
        assert_eq!(kept(4), json!({ CACHE_KEYS_FIELD: [null, "a", "b"], "os": "linux" }));
        assert_eq!(kept(2), json!({ CACHE_KEYS_FIELD: [null, "a"], "os": "linux" }));
        assert_eq!(kept(1), json!({ "os": "linux" }));
    }
}
