"""What the pages say, in every language that they speak; ``$name`` is a value that the page puts in.

A further language is one more entry of ``TEXTS``, with the same keys (a test compares them).
"""

from collections.abc import Mapping

FALLBACK = "en"

TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "error_mark": "Error: ",
        "reset_password.title": "Set a new password",
        "reset_password.account": "For the account $account.",
        "reset_password.new": "New password",
        "reset_password.again": "New password, once more",
        "reset_password.button": "Set new password",
        "reset_password.done.title": "Your password is changed",
        "reset_password.done": "You can now log in with the new password. Wherever you were logged in before, you"
        " have to log in again. You can close this page.",
        "reset_password.unusable.title": "This link does not work any more",
        "reset_password.unusable": "A link to set a new password works once, and for 30 minutes; a newer one replaces"
        " it. If you have just set a new password with it, you can log in now. Otherwise ask for a new e-mail where you"
        " log in.",
        "verify_email.title": "Confirm your e-mail address",
        "verify_email.question": "To confirm that $email is your address, press the button.",
        "verify_email.button": "Confirm e-mail address",
        "verify_email.done.title": "Your e-mail address is confirmed",
        "verify_email.done": "Thank you. You can close this page.",
        "verify_email.unusable.title": "This link does not work any more",
        "verify_email.unusable": "A link to confirm an e-mail address works once, and for 24 hours. If you have"
        " confirmed your address already, there is nothing to do. Otherwise log in and ask for a new e-mail.",
        "rule.length": "at least $least characters",
        "rule.pattern": "it matches the pattern $pattern",
        "rule.common": "not one of the very common passwords",
        "rule.name": "without your username and without the name in your e-mail address",
        "problem.missing_password": "Type the new password into both fields.",
        "problem.missing_confirmation": "Type the new password into both fields.",
        "problem.passwords_differ": "The two passwords are not the same. Please type both again.",
        "problem.weak_password": "This password does not follow the rules. Please choose another one.",
        "problem.common_password": "This password is one of the very common ones. Please choose another one.",
        "problem.password_unchanged": "This is the password that you have now. Please choose another one.",
        "problem.password_contains_name": "This password contains your username or the name in your e-mail address."
        " Please choose another one.",
        "problem.password_too_long": "This password is too long. Please choose a shorter one.",
        "unavailable.title": "Please try again in a minute",
        "unavailable": "The service cannot do this at the moment.",
        "failed.title": "That did not work",
        "failed": "Please open the link in the e-mail again.",
    },
    "de": {
        "error_mark": "Fehler: ",
        "reset_password.title": "Neues Passwort festlegen",
        "reset_password.account": "Für das Konto $account.",
        "reset_password.new": "Neues Passwort",
        "reset_password.again": "Neues Passwort, noch einmal",
        "reset_password.button": "Neues Passwort festlegen",
        "reset_password.done.title": "Ihr Passwort ist geändert",
        "reset_password.done": "Sie können sich jetzt mit dem neuen Passwort anmelden. Wo Sie bisher angemeldet waren,"
        " müssen Sie sich neu anmelden. Sie können diese Seite schließen.",
        "reset_password.unusable.title": "Dieser Link gilt nicht mehr",
        "reset_password.unusable": "Ein Link für ein neues Passwort gilt einmal und 30 Minuten lang; ein neuerer"
        " ersetzt ihn. Wenn Sie damit gerade ein neues Passwort festgelegt haben, können Sie sich jetzt anmelden. Sonst"
        " fordern Sie bei der Anmeldung eine neue E-Mail an.",
        "verify_email.title": "E-Mail-Adresse bestätigen",
        "verify_email.question": "Um zu bestätigen, dass $email Ihre Adresse ist, drücken Sie die Schaltfläche.",
        "verify_email.button": "E-Mail-Adresse bestätigen",
        "verify_email.done.title": "Ihre E-Mail-Adresse ist bestätigt",
        "verify_email.done": "Vielen Dank. Sie können diese Seite schließen.",
        "verify_email.unusable.title": "Dieser Link gilt nicht mehr",
        "verify_email.unusable": "Ein Link zum Bestätigen einer E-Mail-Adresse gilt einmal und 24 Stunden lang. Wenn"
        " Sie Ihre Adresse schon bestätigt haben, ist nichts zu tun. Sonst melden Sie sich an und fordern eine neue"
        " E-Mail an.",
        "rule.length": "mindestens $least Zeichen",
        "rule.pattern": "es entspricht dem Muster $pattern",
        "rule.common": "keines der sehr häufigen Passwörter",
        "rule.name": "ohne Ihren Benutzernamen und ohne den Namen in Ihrer E-Mail-Adresse",
        "problem.missing_password": "Geben Sie das neue Passwort in beide Felder ein.",
        "problem.missing_confirmation": "Geben Sie das neue Passwort in beide Felder ein.",
        "problem.passwords_differ": "Die beiden Passwörter sind nicht gleich. Bitte geben Sie beide neu ein.",
        "problem.weak_password": "Dieses Passwort erfüllt die Regeln nicht. Bitte wählen Sie ein anderes.",
        "problem.common_password": "Dieses Passwort ist eines der sehr häufigen. Bitte wählen Sie ein anderes.",
        "problem.password_unchanged": "Das ist Ihr bisheriges Passwort. Bitte wählen Sie ein anderes.",
        "problem.password_contains_name": "Dieses Passwort enthält Ihren Benutzernamen oder den Namen in Ihrer"
        " E-Mail-Adresse. Bitte wählen Sie ein anderes.",
        "problem.password_too_long": "Dieses Passwort ist zu lang. Bitte wählen Sie ein kürzeres.",
        "unavailable.title": "Bitte versuchen Sie es in einer Minute noch einmal",
        "unavailable": "Der Dienst kann das im Moment nicht ausführen.",
        "failed.title": "Das hat nicht geklappt",
        "failed": "Bitte öffnen Sie den Link in der E-Mail noch einmal.",
    },
}


def preferred_language(accepted: str) -> str:
    """The language of ours that an ``Accept-Language`` header weighs most (RFC 9110, 12.5.4); English for none."""
    best, most = FALLBACK, 0.0
    for entry in accepted.split(","):
        tag, _, parameter = entry.partition(";")
        language = tag.strip().partition("-")[0].lower()
        try:
            weight = float(parameter.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        if language in TEXTS and weight > most:
            best, most = language, weight
    return best
