//! Reads the tables of an inventory file, and collects what is wrong with them.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Entry, Fault, Faults, Known, Label, fault::MAX_KEPT};
use crate::budget::LARGEST;

/// Most items in a list, and in a map.
const MAX_ITEMS: usize = 256;

type Value<'i> = Spanned<DeValue<'i>>;

/// Goes through a document and keeps the faults.
pub(super) struct Reader<'a> {
    file: &'a str,
    line_ends: Vec<usize>,
    faults: Vec<Fault>,
    /// Faults that are not kept.
    more: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a str, text: &str) -> Self {
        let line_ends = text.match_indices('\n').map(|(at, _)| at).collect();
        Self { file, line_ends, faults: Vec::new(), more: 0 }
    }

    pub(super) fn fault(&mut self, offset: Option<usize>, message: String) {
        if self.faults.len() >= MAX_KEPT {
            self.more = self.more.saturating_add(1);
            return;
        }
        let line = offset.map(|offset| self.line(offset));
        self.faults.push(Fault { line, message });
    }

    fn line(&self, offset: usize) -> usize {
        self.line_ends.partition_point(|end| *end < offset).saturating_add(1)
    }

    pub(super) fn into_faults(self) -> Faults {
        Faults::new(self.file, self.faults, self.more)
    }

    pub(super) fn finish(self) -> Result<(), Faults> {
        if self.faults.is_empty() { Ok(()) } else { Err(self.into_faults()) }
    }

    /// Refuses tables that no inventory has, tables that should be lists, and lists that are too long.
    pub(super) fn check_top(&mut self, document: &DeTable<'_>, tables: &[(&str, usize)]) {
        for (key, value) in document {
            let name = key.get_ref();
            let Some((_, most)) = tables.iter().find(|(table, _)| *table == name.as_ref()) else {
                let known: Vec<String> = tables.iter().map(|(table, _)| format!("[[{table}]]")).collect();
                self.fault(
                    Some(key.span().start),
                    format!("\"{name}\" is not part of an inventory; tables are {}", known.join(", ")),
                );
                continue;
            };
            match value.get_ref().as_array() {
                None => self.fault(
                    Some(key.span().start),
                    format!("\"{name}\" is a list of tables: write [[{name}]]"),
                ),
                Some(list) if list.len() > *most => self.fault(
                    Some(key.span().start),
                    format!("{} [[{name}]] tables; at most {most} are allowed", list.len()),
                ),
                Some(_) => {}
            }
        }
    }

    /// Every entry of one table that could be read. The same key twice is a fault.
    pub(super) fn entries<'i, E: Entry>(
        &mut self,
        document: &DeTable<'i>,
        known: &Known,
        read: fn(&mut Fields<'_, '_, 'i, 'a>) -> Option<E>,
    ) -> Vec<E> {
        let mut entries = Vec::new();
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        let list = document.get(E::NOUN).and_then(|value| value.get_ref().as_array());
        for (number, value) in (1_usize..).zip(list.into_iter().flatten()) {
            let start = value.span().start;
            let Some(table) = value.get_ref().as_table() else {
                self.fault(Some(start), format!("[[{}]] number {number} is not a table", E::NOUN));
                continue;
            };
            let mut fields = Fields::new(self, table, known, E::NOUN, number, start);
            let entry = read(&mut fields);
            fields.refuse_others();
            let place = fields.place;
            let Some(entry) = entry else { continue };
            let key = entry.key();
            if let Some(first) = lines.get(&key) {
                let message = format!("{place}: {key} is there twice, the first time in line {first}");
                self.fault(Some(start), message);
                continue;
            }
            lines.insert(key, self.line(start));
            entries.push(entry);
        }
        entries
    }
}

/// One table while it is read. Each access notes the field as known; what was never asked for is refused at the end.
pub(super) struct Fields<'r, 't, 'i, 'a> {
    reader: &'r mut Reader<'a>,
    table: &'t DeTable<'i>,
    /// What the rest of the file has, for references.
    pub(super) known: &'t Known,
    place: String,
    start: usize,
    asked: Vec<&'static str>,
}

impl<'r, 't, 'i, 'a> Fields<'r, 't, 'i, 'a> {
    fn new(
        reader: &'r mut Reader<'a>,
        table: &'t DeTable<'i>,
        known: &'t Known,
        noun: &str,
        number: usize,
        start: usize,
    ) -> Self {
        let name = ["name", "host"].iter().find_map(|field| table.get(*field)?.get_ref().as_str());
        let place = match name {
            Some(name) => format!("[[{noun}]] number {number} {name:?}"),
            None => format!("[[{noun}]] number {number}"),
        };
        Self { reader, table, known, place, start, asked: Vec::new() }
    }

    /// Notes a fault of a field.
    pub(super) fn fault(&mut self, field: &str, message: impl Display) {
        let offset = self.table.get(field).map_or(self.start, |value| value.span().start);
        let message = format!("{}: {field}: {message}", self.place);
        self.reader.fault(Some(offset), message);
    }

    fn value(&mut self, field: &'static str) -> Option<&'t Value<'i>> {
        self.asked.push(field);
        self.table.get(field)
    }

    /// A field that may be left out. `Err` when it is there and wrong; the fault is noted.
    pub(super) fn optional<T>(&mut self, field: &'static str) -> Result<Option<T>, ()>
    where
        T: FromStr<Err: Display>,
    {
        let Some(value) = self.value(field) else { return Ok(None) };
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(field, value, "a text in quotes");
            return Err(());
        };
        text.parse().map(Some).map_err(|error: T::Err| self.fault(field, error))
    }

    /// A field that must be there. `None` when it is not or is wrong; the fault is noted.
    pub(super) fn required<T>(&mut self, field: &'static str) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        match self.optional(field) {
            Ok(Some(value)) => Some(value),
            Ok(None) => {
                self.fault(field, "is missing");
                None
            }
            Err(()) => None,
        }
    }

    /// A list of texts; empty when it is left out. `None` when something in it is wrong.
    pub(super) fn list<T>(&mut self, field: &'static str) -> Option<Vec<T>>
    where
        T: FromStr<Err: Display> + PartialEq + Display,
    {
        let Some(value) = self.value(field) else { return Some(Vec::new()) };
        let Some(items) = value.get_ref().as_array() else {
            self.wrong_type(field, value, "a list, such as [\"a\", \"b\"]");
            return None;
        };
        if items.len() > MAX_ITEMS {
            self.fault(field, format!("has {} items; at most {MAX_ITEMS} are allowed", items.len()));
            return None;
        }
        let mut list: Vec<T> = Vec::new();
        let mut good = true;
        for item in items {
            match item.get_ref().as_str().map(str::parse::<T>) {
                Some(Ok(parsed)) if list.contains(&parsed) => {
                    self.fault(field, format!("{parsed} is there twice"));
                    good = false;
                }
                Some(Ok(parsed)) => list.push(parsed),
                Some(Err(error)) => {
                    self.fault(field, error);
                    good = false;
                }
                None => {
                    self.wrong_type(field, item, "a text in quotes");
                    good = false;
                }
            }
        }
        good.then_some(list)
    }

    /// A map of names to texts; empty when it is left out. `None` when something in it is wrong.
    pub(super) fn map(&mut self, field: &'static str) -> Option<BTreeMap<String, String>> {
        let Some(value) = self.value(field) else { return Some(BTreeMap::new()) };
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(field, value, "a table, such as { role = \"server\" }");
            return None;
        };
        if table.len() > MAX_ITEMS {
            self.fault(field, format!("has {} items; at most {MAX_ITEMS} are allowed", table.len()));
            return None;
        }
        let mut map = BTreeMap::new();
        for (key, item) in table {
            let key = key.get_ref();
            let parsed = item.get_ref().as_str().map(str::parse::<Label>);
            match (key.parse::<super::Name>(), parsed) {
                (Ok(_), Some(Ok(text))) => {
                    map.insert(key.to_string(), text.into());
                }
                (Err(error), _) => self.fault(field, error),
                (Ok(_), Some(Err(error))) => self.fault(field, format!("{key}: {error}")),
                (Ok(_), None) => self.wrong_type(field, item, "a text in quotes"),
            }
        }
        (map.len() == table.len()).then_some(map)
    }

    /// A whole number within bounds. `Err` when it is there and wrong.
    pub(super) fn integer(&mut self, field: &'static str, from: i32, to: i32) -> Result<Option<i32>, ()> {
        let Some(value) = self.value(field) else { return Ok(None) };
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|n| i32::from_str_radix(n.as_str(), n.radix()).ok())
            .filter(|n| (from..=to).contains(n));
        if number.is_none() {
            self.wrong_type(field, value, &format!("a number from {from} to {to}"));
            return Err(());
        }
        Ok(number)
    }

    /// A budget: new attempts per second. `Err` when it is there and wrong.
    pub(super) fn budget(&mut self) -> Result<Option<u32>, ()> {
        let largest = i32::try_from(LARGEST).unwrap_or(i32::MAX);
        let budget = self.integer("budget", 1, largest)?;
        Ok(budget.map(i32::unsigned_abs))
    }

    /// true or false. `Err` when it is there and neither.
    pub(super) fn flag(&mut self, field: &'static str) -> Result<Option<bool>, ()> {
        let Some(value) = self.value(field) else { return Ok(None) };
        if let Some(flag) = value.get_ref().as_bool() {
            return Ok(Some(flag));
        }
        self.wrong_type(field, value, "true or false");
        Err(())
    }

    fn wrong_type(&mut self, field: &str, value: &Value<'_>, expected: &str) {
        let shown = match value.get_ref() {
            DeValue::String(text) => format!("{text:?}"),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(flag) => flag.to_string(),
            DeValue::Datetime(time) => time.to_string(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        let message = format!("{}: {field}: {shown} is not allowed; it is {expected}", self.place);
        self.reader.fault(Some(value.span().start), message);
    }

    fn refuse_others(&mut self) {
        for (key, _) in self.table {
            let name = key.get_ref().as_ref();
            if !self.asked.contains(&name) {
                let message = format!(
                    "{}: there is no field \"{name}\"; fields are {}",
                    self.place,
                    self.asked.join(", ")
                );
                self.reader.fault(Some(key.span().start), message);
            }
        }
    }
}
