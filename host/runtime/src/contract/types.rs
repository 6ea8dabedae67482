//! Two types side by side. Names of parameters do not matter to a component, names and order of fields and cases do.

use std::collections::HashSet;
use std::mem::discriminant;

use wit_parser::{Function, Handle, Resolve, Type, TypeDefKind, TypeId};

/// How deep types are followed; the contract's own are far less deep.
const DEPTH: usize = 100;

/// Compares types of a component with types of the contract, each pair once.
pub(super) struct Comparison<'a> {
    theirs: &'a Resolve,
    ours: &'a Resolve,
    seen: HashSet<(TypeId, TypeId)>,
    found: Vec<String>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(theirs: &'a Resolve, ours: &'a Resolve) -> Self {
        Self { theirs, ours, seen: HashSet::new(), found: Vec::new() }
    }

    /// What differs between two functions and was not told before.
    pub(super) fn functions(&mut self, their: &Function, our: &Function) -> Vec<String> {
        let (has, wants) = (their.params.len(), our.params.len());
        if has != wants {
            self.found.push(format!("it has {has} parameters, and {wants} in the contract"));
        } else {
            for (their, our) in their.params.iter().zip(&our.params) {
                self.types(their.ty, our.ty, &format!("parameter {}", our.name), DEPTH);
            }
        }
        self.optional(their.result, our.result, "result", DEPTH);
        std::mem::take(&mut self.found)
    }

    fn optional(&mut self, their: Option<Type>, our: Option<Type>, at: &str, depth: usize) {
        match (their, our) {
            (None, None) => {}
            (Some(their), Some(our)) => self.types(their, our, at, depth),
            (Some(their), None) => {
                self.found.push(format!("{at} is {}, and nothing in the contract", shown(self.theirs, their)))
            }
            (None, Some(our)) => {
                self.found.push(format!("{at} is nothing, and {} in the contract", shown(self.ours, our)))
            }
        }
    }

    fn types(&mut self, their: Type, our: Type, at: &str, depth: usize) {
        let (Some(their_kind), Some(our_kind)) = (kind(self.theirs, their), kind(self.ours, our)) else {
            if plain(self.theirs, their) != plain(self.ours, our) {
                self.differ(their, our, at);
            }
            return;
        };
        if let (Type::Id(their), Type::Id(our)) = (plain(self.theirs, their), plain(self.ours, our))
            && !self.seen.insert((their, our))
        {
            return;
        }
        let Some(depth) = depth.checked_sub(1) else { return };
        match (their_kind, our_kind) {
            (TypeDefKind::Record(their), TypeDefKind::Record(wanted)) => {
                let place = self.place(at, "record", our);
                let their: Vec<_> =
                    their.fields.iter().map(|field| (field.name.as_str(), Some(field.ty))).collect();
                let wanted: Vec<_> =
                    wanted.fields.iter().map(|field| (field.name.as_str(), Some(field.ty))).collect();
                self.members(&their, &wanted, &place, "field", depth);
            }
            (TypeDefKind::Variant(their), TypeDefKind::Variant(wanted)) => {
                let place = self.place(at, "variant", our);
                let their: Vec<_> = their.cases.iter().map(|case| (case.name.as_str(), case.ty)).collect();
                let wanted: Vec<_> = wanted.cases.iter().map(|case| (case.name.as_str(), case.ty)).collect();
                self.members(&their, &wanted, &place, "case", depth);
            }
            (TypeDefKind::Enum(their), TypeDefKind::Enum(wanted)) => {
                let place = self.place(at, "enum", our);
                let their: Vec<_> = their.cases.iter().map(|case| (case.name.as_str(), None)).collect();
                let wanted: Vec<_> = wanted.cases.iter().map(|case| (case.name.as_str(), None)).collect();
                self.members(&their, &wanted, &place, "case", depth);
            }
            (TypeDefKind::Flags(their), TypeDefKind::Flags(wanted)) => {
                let place = self.place(at, "flags", our);
                let their: Vec<_> = their.flags.iter().map(|flag| (flag.name.as_str(), None)).collect();
                let wanted: Vec<_> = wanted.flags.iter().map(|flag| (flag.name.as_str(), None)).collect();
                self.members(&their, &wanted, &place, "flag", depth);
            }
            (TypeDefKind::Option(inner), TypeDefKind::Option(wanted))
            | (TypeDefKind::List(inner), TypeDefKind::List(wanted)) => {
                // `option<string>` is told, not the `string` in it.
                if self.alike(*inner, *wanted) {
                    self.types(*inner, *wanted, at, depth);
                } else {
                    self.differ(their, our, at);
                }
            }
            (TypeDefKind::Result(their), TypeDefKind::Result(our)) => {
                self.optional(their.ok, our.ok, at, depth);
                self.optional(their.err, our.err, &format!("{at}: error"), depth);
            }
            (TypeDefKind::Tuple(their_tuple), TypeDefKind::Tuple(our_tuple))
                if their_tuple.types.len() == our_tuple.types.len() =>
            {
                for (their, our) in their_tuple.types.iter().zip(&our_tuple.types) {
                    self.types(*their, *our, at, depth);
                }
            }
            (TypeDefKind::Handle(Handle::Own(their)), TypeDefKind::Handle(Handle::Own(our)))
            | (TypeDefKind::Handle(Handle::Borrow(their)), TypeDefKind::Handle(Handle::Borrow(our))) => {
                let (has, wants) = (name(self.theirs, *their), name(self.ours, *our));
                if has != wants {
                    self.found.push(format!(
                        "{at} is the resource {}, and {} in the contract",
                        has.unwrap_or("of no name"),
                        wants.unwrap_or("of no name")
                    ));
                }
            }
            (TypeDefKind::Resource, TypeDefKind::Resource) => {}
            _ => self.differ(their, our, at),
        }
    }

    /// Whether two types are of one kind, whatever is in them.
    fn alike(&self, their: Type, our: Type) -> bool {
        match (kind(self.theirs, their), kind(self.ours, our)) {
            (Some(their), Some(our)) => discriminant(their) == discriminant(our),
            (None, None) => plain(self.theirs, their) == plain(self.ours, our),
            _ => false,
        }
    }

    fn differ(&mut self, their: Type, our: Type, at: &str) {
        let (has, wants) = (shown(self.theirs, their), shown(self.ours, our));
        self.found.push(format!("{at} is {has}, and {wants} in the contract"));
    }

    fn place(&self, at: &str, word: &str, our: Type) -> String {
        let name = match plain(self.ours, our) {
            Type::Id(id) => name(self.ours, id).unwrap_or_default(),
            _ => "",
        };
        // Where a record is in a record, the inner one says enough.
        let outermost = at.split(": ").next().unwrap_or(at);
        format!("{outermost}: {word} {name}")
    }

    fn members(
        &mut self,
        their: &[(&str, Option<Type>)],
        our: &[(&str, Option<Type>)],
        place: &str,
        word: &str,
        depth: usize,
    ) {
        let before = self.found.len();
        for (name, _) in our.iter().filter(|(name, _)| !their.iter().any(|(has, _)| has == name)) {
            self.found.push(format!("{place}: {word} {name} is missing"));
        }
        for (name, _) in their.iter().filter(|(name, _)| !our.iter().any(|(has, _)| has == name)) {
            self.found.push(format!("{place}: {word} {name} is not in the contract"));
        }
        for (name, our) in our {
            if let Some((_, their)) = their.iter().find(|(has, _)| has == name) {
                self.optional(*their, *our, &format!("{place}: {word} {name}"), depth);
            }
        }
        let same_order = their.iter().map(|(name, _)| name).eq(our.iter().map(|(name, _)| name));
        if self.found.len() == before && !same_order {
            self.found.push(format!("{place}: its {word}s are in another order"));
        }
    }
}

/// The type behind aliases.
fn plain(resolve: &Resolve, of: Type) -> Type {
    let mut of = of;
    for _ in 0..DEPTH {
        match of {
            Type::Id(id) => match resolve.types.get(id).map(|found| &found.kind) {
                Some(TypeDefKind::Type(inner)) => of = *inner,
                _ => return of,
            },
            _ => return of,
        }
    }
    of
}

fn kind(resolve: &Resolve, of: Type) -> Option<&TypeDefKind> {
    match plain(resolve, of) {
        Type::Id(id) => resolve.types.get(id).map(|found| &found.kind),
        _ => None,
    }
}

/// The name of a type or, for an alias without one, of what it stands for.
fn name(resolve: &Resolve, id: TypeId) -> Option<&str> {
    match plain(resolve, Type::Id(id)) {
        Type::Id(id) => resolve.types.get(id)?.name.as_deref(),
        _ => None,
    }
}

/// A type as it is written in WIT.
fn shown(resolve: &Resolve, of: Type) -> String {
    shown_to(resolve, of, 8)
}

fn shown_to(resolve: &Resolve, of: Type, depth: usize) -> String {
    let word = match plain(resolve, of) {
        Type::Bool => "bool",
        Type::U8 => "u8",
        Type::U16 => "u16",
        Type::U32 => "u32",
        Type::U64 => "u64",
        Type::S8 => "s8",
        Type::S16 => "s16",
        Type::S32 => "s32",
        Type::S64 => "s64",
        Type::F32 => "f32",
        Type::F64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::ErrorContext => "error-context",
        Type::Id(id) => return compound(resolve, id, depth),
    };
    word.to_owned()
}

fn compound(resolve: &Resolve, id: TypeId, depth: usize) -> String {
    let (Some(found), Some(depth)) = (resolve.types.get(id), depth.checked_sub(1)) else {
        return "...".to_owned();
    };
    if let Some(name) = &found.name {
        return name.clone();
    }
    let inner = |of: &Type| shown_to(resolve, *of, depth);
    let or_nothing = |of: &Option<Type>| of.as_ref().map_or_else(|| "_".to_owned(), &inner);
    match &found.kind {
        TypeDefKind::Option(of) => format!("option<{}>", inner(of)),
        TypeDefKind::List(of) => format!("list<{}>", inner(of)),
        TypeDefKind::Result(of) => format!("result<{}, {}>", or_nothing(&of.ok), or_nothing(&of.err)),
        TypeDefKind::Tuple(of) => {
            format!("tuple<{}>", of.types.iter().map(inner).collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Handle(Handle::Own(of)) => name(resolve, *of).unwrap_or("resource").to_owned(),
        TypeDefKind::Handle(Handle::Borrow(of)) => {
            format!("borrow<{}>", name(resolve, *of).unwrap_or("resource"))
        }
        other => other.as_str().to_owned(),
    }
}
