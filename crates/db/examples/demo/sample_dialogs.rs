//! Sample questions of a company's employees, with replies.

pub(crate) const PERSON_NAMES: [&str; 48] = [
    "Ada",
    "Grace",
    "Linus",
    "Alan",
    "Barbara",
    "Claude",
    "Donald",
    "Edsger",
    "Frances",
    "Guido",
    "Hedy",
    "Ivan",
    "Jean",
    "Katherine",
    "Leslie",
    "Margaret",
    "Niklaus",
    "Ole",
    "Peter",
    "Radia",
    "Sophie",
    "Tim",
    "Ursula",
    "Vint",
    "Whitfield",
    "Xiaoyun",
    "Yukihiro",
    "Zohar",
    "Adele",
    "Bjarne",
    "Corrado",
    "Dennis",
    "Elena",
    "Fabrice",
    "Gerald",
    "Hal",
    "Irina",
    "John",
    "Karen",
    "Lotfi",
    "Mary",
    "Nancy",
    "Olga",
    "Paul",
    "Rosa",
    "Shafi",
    "Tony",
    "Val",
];

pub(crate) const DEPARTMENTS: [&str; 6] =
    ["Engineering", "Sales", "Support", "People", "Finance", "Marketing"];

pub(crate) const PLACES: [&str; 4] = ["Berlin", "Lisbon", "Toronto", "Singapore"];

/// Questions with their replies.
pub(crate) const SAMPLE_DIALOGS: [(&str, &str); 20] = [
    (
        "Can you draft a short announcement for the new office hours?",
        "Here is a draft:\n\n> From Monday on the office is open from 8 to 18. Whoever needs it earlier, tell the front desk the day before.",
    ),
    (
        "What does this error mean: connection reset by peer?",
        "The other side closed the connection without saying goodbye, often since it restarted or a proxy's timeout was shorter than the request. Look at its log for the same second first.",
    ),
    (
        "Summarize the thread above in three points, please.",
        "1. The launch moves to the 14th.\n2. Support gets the new texts by Friday.\n3. Who owns the checklist is still open.",
    ),
    (
        "How do I ask for parental leave?",
        "Write to your People partner at least seven weeks before it begins, with the dates. They confirm within a week, and payroll hears of it from them.",
    ),
    ("Translate to German: the delivery is two days late.", "Die Lieferung verspätet sich um zwei Tage."),
    (
        "Which index would make this query faster?",
        "One over `(customer_id, created_at)`: the query filters by the first and sorts by the second, so that it reads only the rows it shows.",
    ),
    (
        "What is our travel budget for a conference?",
        "Up to 1,200 € a person and year, with your lead's consent. Trains come before flights below five hours.",
    ),
    (
        "Write a friendly reminder that timesheets are due.",
        "A small reminder: timesheets are due today at 17:00. It takes two minutes, and payroll says thank you.",
    ),
    (
        "Explain OAuth to somebody from sales.",
        "It is a valet key: the app gets a key that opens only what you agreed to, you never hand over your own, and you can take it back at any time.",
    ),
    (
        "What is the difference between TCP and UDP?",
        "TCP makes sure that everything arrives, in order; UDP sends and does not look back. Files want the first, calls the second.",
    ),
    (
        "Make this sound less harsh: You forgot the attachment again.",
        "It seems the attachment did not come along. Could you send it once more?",
    ),
    (
        "How many vacation days can I carry over?",
        "Five, until the end of March. What is left after that is gone, unless you were ill.",
    ),
    (
        "Give me ideas for a team event in Lisbon in November.",
        "- A tile workshop in Alfama\n- Cooking together, with the market first\n- Surf lessons in Ericeira, wetsuits included",
    ),
    (
        "Is it fine to share the roadmap with a customer?",
        "The public one, yes. The internal one has dates that are not promised; ask Product for the version that may go out.",
    ),
    (
        "Turn these notes into a job posting for a support engineer.",
        "**Support engineer (all genders)**\n\nYou like to find out why. You write so that people feel helped. You know your way around a log, and you tell us what should not break again.",
    ),
    (
        "What should I test before a release?",
        "What earns money, what cannot be undone, and what broke last time. Then the way back: can you roll it back within five minutes?",
    ),
    (
        "Can you explain the difference between net and gross margin?",
        "Gross margin is what is left after what a product itself costs; net margin is what is left after everything, from rent to taxes.",
    ),
    (
        "Find a better name for the function do_stuff.",
        "If it fetches invoices and sends reminders, call it `remind_of_open_invoices`; a name says what for, not how.",
    ),
    (
        "Who do I tell when I find a security problem?",
        "Write to security@ at once, without details in a public channel. They answer within the hour, day and night.",
    ),
    (
        "How long do we keep customers' logs?",
        "Thirty days, then they are deleted. What is needed for an investigation is copied out, with a note who decided so.",
    ),
];
