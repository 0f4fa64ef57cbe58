//! Avro schemas in their JSON form, with the names in them resolved.

use std::collections::HashMap;

use serde_json::{Map, Value};

const PRIMITIVES: [&str; 8] = [
    "null", "boolean", "int", "long", "float", "double", "bytes", "string",
];

/// Fields, items and branches of a schema, counted wherever they stand.
const MOST_TYPES: usize = 10_000;
const DEEPEST: usize = 64;

/// A schema and all named types that it defines.
#[derive(Debug)]
pub struct Names<'a> {
    root: &'a Value,
    /// By full name, with the namespace in which each stands.
    defined: HashMap<String, (&'a Value, String)>,
}

/// One type of a schema, with the namespace in which it stands.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    pub value: &'a Value,
    namespace: String,
}

/// What a type is.
#[derive(Debug)]
pub enum Shape<'a> {
    Primitive(&'a str),
    Array(Node<'a>),
    Map(Node<'a>),
    Union(Vec<Node<'a>>),
    Record(Named<'a>),
    Enum(Named<'a>),
    Fixed(Named<'a>),
}

/// A named type: its definition, and its namespace.
#[derive(Debug)]
pub struct Named<'a> {
    pub definition: &'a Value,
    pub full_name: String,
}

impl<'a> Names<'a> {
    pub fn new(root: &'a Value) -> Result<Self, String> {
        let mut names = Self {
            root,
            defined: HashMap::new(),
        };
        names.define(root, "");
        Ok(names)
    }

    pub fn root(&self) -> Node<'a> {
        Node {
            value: self.root,
            namespace: String::new(),
        }
    }

    fn define(&mut self, value: &'a Value, namespace: &str) {
        match value {
            Value::Array(branches) => branches.iter().for_each(|one| self.define(one, namespace)),
            Value::Object(object) => {
                let mut namespace = namespace.to_owned();
                if is_named(value) {
                    let full = full_name(value, &namespace);
                    let outer = std::mem::replace(&mut namespace, namespace_of(&full));
                    self.defined.entry(full).or_insert((value, outer));
                }
                for inner in ["type", "items", "values"] {
                    if let Some(inner @ (Value::Object(_) | Value::Array(_))) = object.get(inner) {
                        self.define(inner, &namespace);
                    }
                }
                for field in fields(value) {
                    self.define(&field["type"], &namespace);
                }
            }
            _ => {}
        }
    }

    /// What the type is; names stand for their definitions.
    pub fn shape(&self, node: &Node<'a>) -> Result<Shape<'a>, String> {
        let Node { value, namespace } = node;
        let at = |value: &'a Value| Node {
            value,
            namespace: namespace.clone(),
        };
        match value {
            Value::String(name) => self.by_name(name, namespace),
            Value::Array(branches) => Ok(Shape::Union(branches.iter().map(at).collect())),
            Value::Object(object) => match object.get("type") {
                Some(Value::String(kind)) => match kind.as_str() {
                    "array" => Ok(Shape::Array(at(&value["items"]))),
                    "map" => Ok(Shape::Map(at(&value["values"]))),
                    "record" | "error" => Ok(Shape::Record(named(value, namespace))),
                    "enum" => Ok(Shape::Enum(named(value, namespace))),
                    "fixed" => Ok(Shape::Fixed(named(value, namespace))),
                    name => self.by_name(name, namespace),
                },
                Some(inner) => self.shape(&at(inner)),
                None => Err(format!("a type without 'type': {value}")),
            },
            other => Err(format!("no type: {other}")),
        }
    }

    fn by_name(&self, name: &'a str, namespace: &str) -> Result<Shape<'a>, String> {
        if PRIMITIVES.contains(&name) {
            return Ok(Shape::Primitive(name));
        }
        let known = self.defined.get(&qualified(name, namespace));
        let (value, namespace) = known.ok_or_else(|| format!("no type is called '{name}'"))?;
        self.shape(&Node {
            value,
            namespace: namespace.clone(),
        })
    }

    /// The type itself, where it is united with null alone.
    pub fn not_null(&self, node: &Node<'a>) -> Result<Node<'a>, String> {
        if let Shape::Union(branches) = self.shape(node)?
            && let [a, b] = &branches[..]
        {
            match (a.value == "null", b.value == "null") {
                (true, false) => return Ok(b.clone()),
                (false, true) => return Ok(a.clone()),
                _ => {}
            }
        }
        Ok(node.clone())
    }

    /// Fails on a schema that would take more memory than any record is worth: a type that is named in
    /// several places is decoded in each, so that a few lines can stand for millions of columns; and items
    /// without bytes may be billions in a record of some. Names without a definition are no matter of it.
    pub fn check_size(&self) -> Result<(), String> {
        self.count(&self.root(), 0, &mut 0)
    }

    fn count(&self, node: &Node<'a>, depth: usize, types: &mut usize) -> Result<(), String> {
        *types += 1;
        if *types > MOST_TYPES {
            return Err(format!(
                "it has more than {MOST_TYPES} fields, with those of the types within"
            ));
        }
        if depth > DEEPEST {
            return Err(format!(
                "its types are nested deeper than {DEEPEST}, or without end"
            ));
        }
        let mut inner = |node: &Node<'a>| self.count(node, depth + 1, types);
        let Ok(shape) = self.shape(node) else {
            return Ok(());
        };
        match shape {
            Shape::Primitive(_) | Shape::Enum(_) | Shape::Fixed(_) => Ok(()),
            Shape::Map(of) => inner(&of),
            Shape::Array(of) => {
                inner(&of)?;
                match self.is_nothing(&of) {
                    true => Err("it has an array of items that take no bytes".to_owned()),
                    false => Ok(()),
                }
            }
            Shape::Union(branches) => branches.iter().try_for_each(inner),
            Shape::Record(record) => {
                let mut fields = record.fields();
                fields.try_for_each(|field| inner(&Node::field(&record, field)))
            }
        }
    }

    /// Whether its values take no bytes. It is not nested without end.
    fn is_nothing(&self, node: &Node<'a>) -> bool {
        match self.shape(node) {
            Ok(Shape::Primitive(kind)) => kind == "null",
            Ok(Shape::Fixed(fixed)) => fixed.definition["size"] == 0,
            Ok(Shape::Record(record)) => {
                let mut fields = record.fields();
                fields.all(|field| self.is_nothing(&Node::field(&record, field)))
            }
            _ => false,
        }
    }

    /// The schema of a type with every name defined where it stands first.
    pub fn expanded(&self, node: &Node<'a>) -> Value {
        let mut written = Vec::new();
        self.expand(node.value, &node.namespace, &mut written)
    }

    fn expand(&self, value: &Value, namespace: &str, written: &mut Vec<String>) -> Value {
        match value {
            Value::String(name) if !PRIMITIVES.contains(&name.as_str()) => {
                let full = qualified(name, namespace);
                match self.defined.get(&full) {
                    Some((definition, namespace)) if !written.contains(&full) => {
                        self.expand(definition, namespace, written)
                    }
                    _ => Value::String(full),
                }
            }
            Value::Array(branches) => branches
                .iter()
                .map(|one| self.expand(one, namespace, written))
                .collect(),
            Value::Object(object) => {
                let mut object = object.clone();
                let mut namespace = namespace.to_owned();
                if is_named(value) {
                    let full = full_name(value, &namespace);
                    if written.contains(&full) {
                        return Value::String(full);
                    }
                    namespace = namespace_of(&full);
                    object.insert("name".into(), unqualified(&full).into());
                    match namespace.is_empty() {
                        true => object.remove("namespace"),
                        false => object.insert("namespace".into(), namespace.clone().into()),
                    };
                    written.push(full);
                }
                self.expand_inner(&mut object, &namespace, written);
                Value::Object(object)
            }
            other => other.clone(),
        }
    }

    fn expand_inner(
        &self,
        object: &mut Map<String, Value>,
        namespace: &str,
        written: &mut Vec<String>,
    ) {
        let kind = object.get("type").and_then(Value::as_str);
        let inner: &[&str] = match kind {
            Some("array") => &["items"],
            Some("map") => &["values"],
            Some("record" | "error" | "enum" | "fixed") => &[],
            _ => &["type"],
        };
        for inner in inner {
            if let Some(value) = object.get_mut(*inner) {
                *value = self.expand(value, namespace, written);
            }
        }
        let fields = object.get_mut("fields").and_then(Value::as_array_mut);
        let fields = fields.into_iter().flatten();
        // What is no object is no field, which the decoder will say.
        for field in fields.filter_map(Value::as_object_mut) {
            if let Some(of) = field.get_mut("type") {
                *of = self.expand(of, namespace, written);
            }
        }
    }
}

/// One schema that needs no other: what `referenced` define stands in it where it is first named.
pub fn self_contained(schema: &Value, referenced: &[Value]) -> Result<Value, String> {
    let mut names = Names::new(schema)?;
    for other in referenced {
        names.define(other, "");
    }
    Ok(names.expanded(&names.root()))
}

impl<'a> Node<'a> {
    /// Another type in the same place, such as that of a field.
    pub fn field(of: &Named<'a>, field: &'a Value) -> Self {
        Self {
            value: &field["type"],
            namespace: namespace_of(&of.full_name),
        }
    }
}

impl<'a> Named<'a> {
    pub fn fields(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        fields(self.definition).iter()
    }

    pub fn symbols(&self) -> Vec<&'a str> {
        strings(&self.definition["symbols"])
    }

    /// Whether this, of a reader, may read what `writer` is called: by its name without the namespace, or
    /// by an alias.
    pub fn reads(&self, writer: &Named<'_>) -> bool {
        let namespace = namespace_of(&self.full_name);
        unqualified(&self.full_name) == unqualified(&writer.full_name)
            || strings(&self.definition["aliases"])
                .iter()
                .any(|alias| qualified(alias, &namespace) == writer.full_name)
    }
}

fn named<'a>(definition: &'a Value, namespace: &str) -> Named<'a> {
    Named {
        definition,
        full_name: full_name(definition, namespace),
    }
}

fn is_named(value: &Value) -> bool {
    matches!(
        value["type"].as_str(),
        Some("record" | "error" | "enum" | "fixed")
    )
}

fn fields(value: &Value) -> &[Value] {
    value["fields"].as_array().map_or(&[], Vec::as_slice)
}

pub fn strings(value: &Value) -> Vec<&str> {
    let all = value.as_array().into_iter().flatten();
    all.filter_map(Value::as_str).collect()
}

fn full_name(definition: &Value, namespace: &str) -> String {
    let name = definition["name"].as_str().unwrap_or_default();
    let namespace = definition["namespace"].as_str().unwrap_or(namespace);
    qualified(name, namespace)
}

fn qualified(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

fn namespace_of(full_name: &str) -> String {
    let split = full_name.rsplit_once('.');
    split.map_or(String::new(), |(namespace, _)| namespace.to_owned())
}

fn unqualified(full_name: &str) -> &str {
    full_name.rsplit('.').next().unwrap_or_default()
}
