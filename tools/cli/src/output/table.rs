//! Tables for people: a heading, no borders, numbers to the right.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table as Grid, presets};

use super::printable;

/// A table under construction.
pub struct Table {
    grid: Grid,
}

/// The heading of a column, and which way it leans.
pub enum Column {
    /// Text, to the left.
    Left(&'static str),
    /// Numbers, to the right.
    Right(&'static str),
}

impl Table {
    /// A table of these columns.
    pub fn new(columns: &[Column]) -> Table {
        let mut grid = Grid::new();
        grid.load_style(presets::NOTHING);
        grid.set_header(columns.iter().map(|column| match column {
            Column::Left(heading) | Column::Right(heading) => *heading,
        }));
        for (index, column) in columns.iter().enumerate() {
            let shown = grid.column_mut(index).expect("the heading made the column");
            shown.set_padding((0, 2));
            if let Column::Right(_) = column {
                shown.set_cell_alignment(CellAlignment::Right);
            }
        }
        Table { grid }
    }

    /// Adds a row. What is in it may be of a store: it is escaped.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.grid.add_row(cells.into_iter().map(|cell| printable(&cell.into())));
    }

    /// Writes the table; its lines do not end in blanks.
    pub fn write(&self, writer: &mut dyn Write) -> io::Result<()> {
        for line in self.grid.lines() {
            writeln!(writer, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Writes `name: value` lines with the values, which are escaped, in one column.
pub fn write_fields(writer: &mut dyn Write, fields: &[(&str, String)]) -> io::Result<()> {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in fields {
        let value = printable(value);
        writeln!(writer, "{:<width$}  {value}", format!("{name}:"), width = width + 1)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_in_no_blanks() {
        let mut table =
            Table::new(&[Column::Left("NAME"), Column::Right("SIZE"), Column::Left("")]);
        table.row(["a", "1 KiB", ""]);
        table.row(["longer", "10 MiB", "x"]);
        let mut bytes = Vec::new();
        table.write(&mut bytes).unwrap();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "NAME      SIZE\na        1 KiB\nlonger  10 MiB  x\n"
        );
    }

    #[test]
    fn fields_line_up() {
        let mut bytes = Vec::new();
        write_fields(&mut bytes, &[("a", "1".into()), ("long", "2".into())]).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), "a:     1\nlong:  2\n");
    }
}
