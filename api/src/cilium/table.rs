//! Tables as Cilium's tools print them: left-aligned columns, three blanks between, five characters at least, no lines.
//!
//! Invariant: every row has as many cells as the heading.

/// A table under construction.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with this heading.
    #[must_use]
    pub fn new<'a>(heading: impl IntoIterator<Item = &'a str>) -> Self {
        Self { rows: vec![heading.into_iter().map(str::to_owned).collect()] }
    }

    /// Adds a row; missing cells are blank.
    pub fn push(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells.into_iter().collect();
        row.resize(self.rows[0].len(), String::new());
        self.rows.push(row);
    }

    /// The lines.
    #[must_use]
    pub fn render(&self) -> String {
        const PADDING: usize = 3;
        const NARROWEST: usize = 5;
        let columns = self.rows[0].len();
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let widest =
                    self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
                (widest + PADDING).max(NARROWEST)
            })
            .collect();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&format!("{cell:width$}"));
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_line_up_and_lines_do_not_trail() {
        let mut table = Table::new(["A", "Name", "Last"]);
        table.push(["1".to_owned(), "long name".to_owned(), "x".to_owned()]);
        table.push([String::new(), "b".to_owned()]);
        assert_eq!(table.render(), "A    Name        Last\n1    long name   x\n     b\n");
    }
}
