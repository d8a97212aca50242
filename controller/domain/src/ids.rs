//! Keys of the inventory's rows, each a type of its own so that they cannot be confused.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i32);
    };
}

id!(
    /// A domain.
    DomainId
);
id!(
    /// A target: host and address in a domain.
    TargetId
);
id!(
    /// A vantage.
    VantageId
);
