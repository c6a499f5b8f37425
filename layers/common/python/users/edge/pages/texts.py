"""The texts of the pages in every language. The page replaces ``$name`` by a value.

To add a language, add an entry to ``TEXTS`` with the same keys. A test compares the keys.
"""

from collections.abc import Mapping

from users.rules import locales

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
        "reset_password.done": "You can now log in with the new password. Every device was logged out, so please log in"
        " again there. You can close this page.",
        "reset_password.unusable.title": "This link does not work any more",
        "reset_password.unusable": "A link to set a password works once, for 30 minutes, or for 7 days in an"
        " invitation. A newer link replaces an older one. If you have just set a password with this link, you can log"
        " in now. Otherwise ask for a new e-mail where you log in.",
        "reset_password.renew": "You can also ask for a new e-mail here. We send it to the address of the account.",
        "reset_password.renew_button": "Send a new e-mail",
        "reset_password.renewed.title": "Check your mailbox",
        "reset_password.renewed": "If the account can still get one, we send an e-mail with a new link to the address"
        " of the account. You can close this page.",
        "invitation.title": "Set your password",
        "invitation.account": "For the account $account. Setting the password also confirms your e-mail address"
        " $email.",
        "invitation.new": "Password",
        "invitation.again": "Password, once more",
        "invitation.button": "Set password",
        "invitation.done.title": "Your account is ready",
        "invitation.done": "Your password is set and your e-mail address is confirmed. You can now log in. You can"
        " close this page.",
        "verify_email.title": "Confirm your e-mail address",
        "verify_email.question": "Somebody entered the e-mail address $email for the account below. If it is your"
        " account, press the button to confirm the address.",
        "verify_email.name": "Username: $username",
        "verify_email.since": "Registered: $registered",
        "verify_email.button": "Confirm e-mail address",
        "verify_email.not_me": "This was not me",
        "verify_email.leave": "If it is not your account, do not confirm the address. Close this page: the address"
        " stays unconfirmed.",
        "verify_email.consequence": "If you did not register this account, you can remove it for good, with all its"
        " data. Your e-mail address can then be used for another account.",
        "verify_email.remove": "This was not me: remove the account",
        "verify_email.removed.title": "The account is removed",
        "verify_email.removed": "Nobody can use it any more. You can close this page.",
        "verify_email.done.title": "Your e-mail address is confirmed",
        "verify_email.done": "Thank you. You can close this page.",
        "verify_email.unusable.title": "This link does not work any more",
        "verify_email.unusable": "A link to confirm an e-mail address works once, for 24 hours. If you have already"
        " confirmed your address or removed the account, you do not need to do anything. Otherwise log in and ask for a"
        " new e-mail.",
        "verify_email.renew": "You can also ask for a new e-mail here. We send it to the same address.",
        "verify_email.renew_button": "Send a new e-mail",
        "verify_email.renewed.title": "Check your mailbox",
        "verify_email.renewed": "If the address is not confirmed yet, we send an e-mail with a new link to it. You can"
        " close this page.",
        "app": "Go to $product",
        "contact": "Questions? Write to",
        "rule.length": "at least $least characters",
        "rule.pattern": "it matches the pattern $pattern",
        "rule.common": "not a common password or word, not even with added digits and signs",
        "rule.name": "without your username and without the name in your e-mail address",
        "problem.missing_password": "Type the new password into both fields.",
        "problem.missing_confirmation": "Type the new password into both fields.",
        "problem.passwords_differ": "The two passwords are not the same. Please type both again.",
        "problem.weak_password": "This password does not follow the rules. Please choose another one.",
        "problem.common_password": "This password is easy to guess: it is a common password or word, perhaps with added"
        " digits and signs. Please choose another one.",
        "problem.password_unchanged": "This is your current password. Please choose another one.",
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
        "reset_password.done": "Sie können sich jetzt mit dem neuen Passwort anmelden. Alle Geräte wurden abgemeldet."
        " Bitte melden Sie sich dort neu an. Sie können diese Seite schließen.",
        "reset_password.unusable.title": "Dieser Link funktioniert nicht mehr",
        "reset_password.unusable": "Ein Link zum Festlegen eines Passworts funktioniert einmal, 30 Minuten lang, in"
        " einer Einladung 7 Tage lang. Ein neuerer Link ersetzt den älteren. Wenn Sie mit diesem Link gerade ein"
        " Passwort festgelegt haben, können Sie sich jetzt anmelden. Sonst fordern Sie bei der Anmeldung eine neue"
        " E-Mail an.",
        "reset_password.renew": "Sie können auch hier eine neue E-Mail anfordern. Wir senden sie an die Adresse des"
        " Kontos.",
        "reset_password.renew_button": "Neue E-Mail senden",
        "reset_password.renewed.title": "Sehen Sie in Ihr Postfach",
        "reset_password.renewed": "Falls das Konto noch eine bekommen kann, senden wir eine E-Mail mit einem neuen Link"
        " an die Adresse des Kontos. Sie können diese Seite schließen.",
        "invitation.title": "Passwort festlegen",
        "invitation.account": "Für das Konto $account. Mit dem Passwort bestätigen Sie auch Ihre E-Mail-Adresse"
        " $email.",
        "invitation.new": "Passwort",
        "invitation.again": "Passwort, noch einmal",
        "invitation.button": "Passwort festlegen",
        "invitation.done.title": "Ihr Konto ist bereit",
        "invitation.done": "Ihr Passwort ist festgelegt, und Ihre E-Mail-Adresse ist bestätigt. Sie können sich jetzt"
        " anmelden. Sie können diese Seite schließen.",
        "verify_email.title": "E-Mail-Adresse bestätigen",
        "verify_email.question": "Jemand hat für das folgende Konto die E-Mail-Adresse $email angegeben. Wenn es Ihr"
        " Konto ist, bestätigen Sie die Adresse mit der Schaltfläche.",
        "verify_email.name": "Benutzername: $username",
        "verify_email.since": "Registriert: $registered",
        "verify_email.button": "E-Mail-Adresse bestätigen",
        "verify_email.not_me": "Das war ich nicht",
        "verify_email.leave": "Wenn es nicht Ihr Konto ist, bestätigen Sie die Adresse nicht. Schließen Sie diese"
        " Seite: Die Adresse bleibt unbestätigt.",
        "verify_email.consequence": "Wenn Sie dieses Konto nicht registriert haben, können Sie es mit allen Daten"
        " endgültig entfernen. Danach kann Ihre E-Mail-Adresse für ein anderes Konto verwendet werden.",
        "verify_email.remove": "Das war ich nicht: Konto entfernen",
        "verify_email.removed.title": "Das Konto ist entfernt",
        "verify_email.removed": "Niemand kann es mehr benutzen. Sie können diese Seite schließen.",
        "verify_email.done.title": "Ihre E-Mail-Adresse ist bestätigt",
        "verify_email.done": "Vielen Dank. Sie können diese Seite schließen.",
        "verify_email.unusable.title": "Dieser Link funktioniert nicht mehr",
        "verify_email.unusable": "Ein Link zum Bestätigen einer E-Mail-Adresse funktioniert einmal, 24 Stunden lang."
        " Wenn Sie Ihre Adresse schon bestätigt oder das Konto schon entfernt haben, brauchen Sie nichts zu tun. Sonst"
        " melden Sie sich an und fordern eine neue E-Mail an.",
        "verify_email.renew": "Sie können auch hier eine neue E-Mail anfordern. Wir senden sie an dieselbe Adresse.",
        "verify_email.renew_button": "Neue E-Mail senden",
        "verify_email.renewed.title": "Sehen Sie in Ihr Postfach",
        "verify_email.renewed": "Falls die Adresse noch nicht bestätigt ist, senden wir eine E-Mail mit einem neuen"
        " Link dorthin. Sie können diese Seite schließen.",
        "app": "Zu $product",
        "contact": "Fragen? Schreiben Sie an",
        "rule.length": "mindestens $least Zeichen",
        "rule.pattern": "es entspricht dem Muster $pattern",
        "rule.common": "kein häufiges Passwort oder Wort, auch nicht mit zusätzlichen Ziffern und Zeichen",
        "rule.name": "ohne Ihren Benutzernamen und ohne den Namen in Ihrer E-Mail-Adresse",
        "problem.missing_password": "Geben Sie das neue Passwort in beide Felder ein.",
        "problem.missing_confirmation": "Geben Sie das neue Passwort in beide Felder ein.",
        "problem.passwords_differ": "Die beiden Passwörter sind nicht gleich. Bitte geben Sie beide neu ein.",
        "problem.weak_password": "Dieses Passwort erfüllt die Regeln nicht. Bitte wählen Sie ein anderes.",
        "problem.common_password": "Dieses Passwort ist leicht zu erraten: Es ist ein häufiges Passwort oder Wort,"
        " vielleicht mit zusätzlichen Ziffern und Zeichen. Bitte wählen Sie ein anderes.",
        "problem.password_unchanged": "Das ist Ihr jetziges Passwort. Bitte wählen Sie ein anderes.",
        "problem.password_contains_name": "Dieses Passwort enthält Ihren Benutzernamen oder den Namen in Ihrer"
        " E-Mail-Adresse. Bitte wählen Sie ein anderes.",
        "problem.password_too_long": "Dieses Passwort ist zu lang. Bitte wählen Sie ein kürzeres.",
        "unavailable.title": "Bitte versuchen Sie es in einer Minute noch einmal",
        "unavailable": "Der Dienst kann das im Moment nicht ausführen.",
        "failed.title": "Das hat nicht geklappt",
        "failed": "Bitte öffnen Sie den Link in der E-Mail noch einmal.",
    },
}


def language_of(locale: str) -> str:
    """Return the language of ``TEXTS`` that a locale names, or "" if there is none."""
    return locales.language_of(locale, TEXTS)


def preferred_language(accepted: str) -> str:
    """Return the language of ``TEXTS`` with the greatest weight in an ``Accept-Language`` header, or English.

    RFC 9110, 12.5.4.
    """
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
