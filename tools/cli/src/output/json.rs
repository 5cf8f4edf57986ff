//! JSON documents: one a report, with the version of their schema.

use std::io::{self, Write};

use serde::Serialize;

use crate::error::{CliError, Result};

/// The version of every document. It grows when a field changes its meaning or goes;
/// new fields may come under the same version.
pub const SCHEMA: u64 = 1;

#[derive(Serialize)]
struct Envelope<'a, R> {
    schema: u64,
    verb: &'a str,
    #[serde(flatten)]
    report: &'a R,
}

/// Writes a whole report as one line.
pub fn write_report(writer: &mut dyn Write, verb: &str, report: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *writer, &Envelope { schema: SCHEMA, verb, report })?;
    writer.write_all(b"\n")
}

/// The document of an error.
pub fn error_document(verb: Option<&str>, error: &CliError) -> serde_json::Value {
    let mut body = serde_json::json!({
        "kind": error.kind(),
        "exit_code": error.exit_code(),
        "message": error.to_string(),
    });
    let cause = match error {
        CliError::NotRun(cause) => cause,
        error => error,
    };
    match cause {
        CliError::Engine(engine) => {
            body["operation"] = engine.operation().into();
            body["path"] = engine.path().map(|path| path.display().to_string()).into();
            body["offset"] = engine.offset().into();
            body["field"] = engine.field().into();
            body["found"] = engine.found().into();
            body["expected"] = engine.expected().into();
        }
        CliError::File { operation, path, .. } => {
            body["operation"] = (*operation).into();
            body["path"] = path.display().to_string().into();
        }
        _ => {}
    }
    serde_json::json!({ "schema": SCHEMA, "verb": verb, "error": body })
}

/// A document written field by field and element by element, so that the longest list costs
/// no memory.
pub struct Document<'a> {
    writer: &'a mut dyn Write,
}

impl<'a> Document<'a> {
    /// Begins a document of `verb`.
    pub fn begin(writer: &'a mut dyn Write, verb: &str) -> Result<Document<'a>> {
        let mut document = Document { writer };
        document.raw(b"{\"schema\":")?;
        document.value(&SCHEMA)?;
        document.field("verb", verb)?;
        Ok(document)
    }

    /// Adds a field.
    pub fn field(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<()> {
        self.name(name)?;
        self.value(value)
    }

    /// Adds a list, element by element; the first error of `elements` ends the document there.
    pub fn list<T: Serialize>(
        &mut self,
        name: &str,
        elements: impl IntoIterator<Item = Result<T>>,
    ) -> Result<()> {
        self.list_from(name, |list| {
            elements.into_iter().try_for_each(|element| list.element(&element?))
        })
    }

    /// Adds a list of what `give` hands over.
    pub fn list_from(
        &mut self,
        name: &str,
        give: impl FnOnce(&mut List<'_, 'a>) -> Result<()>,
    ) -> Result<()> {
        self.name(name)?;
        self.raw(b"[")?;
        give(&mut List { document: self, is_empty: true })?;
        self.raw(b"]")
    }

    /// Ends the document.
    pub fn finish(mut self) -> Result<()> {
        self.raw(b"}\n")
    }

    fn name(&mut self, name: &str) -> Result<()> {
        self.raw(b",")?;
        self.value(name)?;
        self.raw(b":")
    }

    fn value(&mut self, value: &(impl Serialize + ?Sized)) -> Result<()> {
        serde_json::to_writer(&mut *self.writer, value)
            .map_err(|error| CliError::report(error.into()))
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write_all(bytes).map_err(CliError::report)
    }
}

/// A list of a document, being written.
pub struct List<'a, 'b> {
    document: &'a mut Document<'b>,
    is_empty: bool,
}

impl List<'_, '_> {
    /// Adds an element.
    pub fn element(&mut self, element: &impl Serialize) -> Result<()> {
        if !std::mem::take(&mut self.is_empty) {
            self.document.raw(b",")?;
        }
        self.document.value(element)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_written_piece_by_piece_is_json() {
        let mut bytes = Vec::new();
        let mut document = Document::begin(&mut bytes, "map").unwrap();
        document.field("size_bytes", &u64::MAX).unwrap();
        document.list("extents", (0..3_u128).map(|i| Ok(u128::from(u64::MAX) + i))).unwrap();
        document.list("none", std::iter::empty::<Result<u64>>()).unwrap();
        document.finish().unwrap();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "{\"schema\":1,\"verb\":\"map\",\"size_bytes\":18446744073709551615,\
             \"extents\":[18446744073709551615,18446744073709551616,18446744073709551617],\
             \"none\":[]}\n"
        );
    }

    #[test]
    fn errors_carry_their_context() {
        let error = sapwood::Error::corrupt("read a header", "magic", 1, 2)
            .in_file("layers/a.layer")
            .at_offset(4096);
        let document = error_document(Some("show"), &error.into());
        assert_eq!(document["schema"], 1);
        assert_eq!(document["verb"], "show");
        assert_eq!(document["error"]["kind"], "corrupt");
        assert_eq!(document["error"]["exit_code"], 5);
        assert_eq!(document["error"]["offset"], 4096);
        assert_eq!(document["error"]["path"], "layers/a.layer");
        assert_eq!(document["error"]["field"], "magic");
    }
}
