package pop3server

// text names a sentence of the server.
type text uint8

const (
	textNone text = iota
	textReady
	textBye
	textName
	textLoggedIn
	textCapabilities
	textMechanisms
	textMessages
	textOctets
	textTop
	textMarked
	textUnmarked
	textNoop
	textBeginTLS
	textUTF8
	textLanguage
	textLanguages
	textUnknown
	textState
	textControl
	textLineEnd
	textTooLong
	textArgument
	textNoMessage
	textGone
	textNeedUTF8
	textNeedTLS
	textNoTLS
	textNoName
	textNoMechanism
	textCancelled
	textResponse
	textRefused
	textInUse
	textDelay
	textNoDrop
	textDamaged
	textTemporary
	textBusy
	textNotRemoved
	textNoLanguage
	textTakenOver
	textShutdown
	textTooMany
	textCount
)

// texts has the sentences in the order of languages. It is read only.
var texts = [textCount][languageCount]string{
	textNone:         {"", "", "", "", ""},
	textReady:        {"POP3 ready", "POP3 bereit", "POP3 prêt", "POP3 listo", "POP3 準備完了"},
	textBye:          {"Goodbye", "Auf Wiedersehen", "Au revoir", "Hasta luego", "さようなら"},
	textName:         {"Now the password", "Nun das Passwort", "Le mot de passe maintenant", "Ahora la contraseña", "パスワードをどうぞ"},
	textLoggedIn:     {"Maildrop open", "Postfach geöffnet", "Boîte ouverte", "Buzón abierto", "メールボックスを開きました"},
	textCapabilities: {"Capabilities follow", "Fähigkeiten folgen", "Capacités ci-après", "Capacidades a continuación", "機能の一覧"},
	textMechanisms:   {"Mechanisms follow", "Verfahren folgen", "Mécanismes ci-après", "Mecanismos a continuación", "認証方式の一覧"},
	textMessages:     {"messages follow", "Nachrichten folgen", "messages ci-après", "mensajes a continuación", "通のメール"},
	textOctets:       {"octets", "Oktette", "octets", "octetos", "オクテット"},
	textTop:          {"Beginning follows", "Anfang folgt", "Début ci-après", "Comienzo a continuación", "先頭部分"},
	textMarked:       {"Marked for removal", "Zum Löschen vorgemerkt", "Marqué pour suppression", "Marcado para borrar", "削除の印を付けました"},
	textUnmarked:     {"Marks taken back", "Vormerkungen aufgehoben", "Marques effacées", "Marcas quitadas", "印を取り消しました"},
	textNoop:         {"Still here", "Noch da", "Toujours là", "Sigo aquí", "接続中です"},
	textBeginTLS:     {"Begin TLS", "TLS beginnen", "Commencez TLS", "Comience TLS", "TLSを開始してください"},
	textUTF8:         {"UTF-8 it is", "Ab jetzt UTF-8", "UTF-8 activé", "UTF-8 activado", "UTF-8を使います"},
	textLanguage:     {"English it is", "Ab jetzt Deutsch", "En français désormais", "Ahora en español", "日本語で応答します"},
	textLanguages:    {"Languages follow", "Sprachen folgen", "Langues ci-après", "Idiomas a continuación", "言語の一覧"},
	textUnknown:      {"Unknown command", "Unbekannter Befehl", "Commande inconnue", "Orden desconocida", "不明なコマンドです"},
	textState:        {"Not possible now", "Jetzt nicht möglich", "Impossible maintenant", "No es posible ahora", "今は使えません"},
	textControl:      {"Control character in the command", "Steuerzeichen im Befehl", "Caractère de contrôle dans la commande", "Carácter de control en la orden", "コマンドに制御文字があります"},
	textLineEnd:      {"Lines must end in CRLF", "Zeilen müssen mit CRLF enden", "Les lignes doivent finir par CRLF", "Las líneas deben acabar en CRLF", "行末はCRLFにしてください"},
	textTooLong:      {"Line too long", "Zeile zu lang", "Ligne trop longue", "Línea demasiado larga", "行が長すぎます"},
	textArgument:     {"Wrong arguments", "Falsche Argumente", "Arguments incorrects", "Argumentos incorrectos", "引数が正しくありません"},
	textNoMessage:    {"No such message", "Keine solche Nachricht", "Pas de tel message", "No hay tal mensaje", "そのメールはありません"},
	textGone:         {"Another program has removed the message", "Ein anderes Programm hat die Nachricht gelöscht", "Un autre programme a supprimé le message", "Otro programa ha borrado el mensaje", "ほかのプログラムがメールを削除しました"},
	textNeedUTF8:     {"The header is in UTF-8: send UTF8 before you log in", "Die Kopfzeilen sind in UTF-8: vor der Anmeldung UTF8 senden", "L'en-tête est en UTF-8 : envoyez UTF8 avant de vous identifier", "La cabecera está en UTF-8: envíe UTF8 antes de identificarse", "ヘッダーがUTF-8です。ログイン前にUTF8を送ってください"},
	textNeedTLS:      {"Passwords are taken only inside TLS", "Passwörter nur innerhalb von TLS", "Mots de passe seulement sous TLS", "Contraseñas solo dentro de TLS", "パスワードはTLSの中でのみ受け付けます"},
	textNoTLS:        {"TLS is not available", "TLS ist nicht verfügbar", "TLS n'est pas disponible", "TLS no está disponible", "TLSは使えません"},
	textNoName:       {"USER must come first", "Zuerst USER", "USER d'abord", "Primero USER", "先にUSERを送ってください"},
	textNoMechanism:  {"This mechanism is not offered", "Dieses Verfahren wird nicht angeboten", "Ce mécanisme n'est pas proposé", "Este mecanismo no se ofrece", "その認証方式は使えません"},
	textCancelled:    {"Cancelled", "Abgebrochen", "Annulé", "Cancelado", "取り消しました"},
	textResponse:     {"The response is malformed", "Die Antwort ist fehlerhaft", "La réponse est mal formée", "La respuesta está mal formada", "応答の形式が正しくありません"},
	textRefused:      {"Wrong name or password", "Name oder Passwort falsch", "Nom ou mot de passe incorrect", "Nombre o contraseña incorrectos", "名前かパスワードが違います"},
	textInUse:        {"Another session has the maildrop open", "Eine andere Sitzung hat das Postfach geöffnet", "Une autre session a ouvert la boîte", "Otra sesión tiene abierto el buzón", "ほかのセッションが使用中です"},
	textDelay:        {"Too soon after the last login", "Zu früh nach der letzten Anmeldung", "Trop tôt après la dernière connexion", "Demasiado pronto tras la última sesión", "前回のログインから間もありません"},
	textNoDrop:       {"This account has no maildrop", "Dieses Konto hat kein Postfach", "Ce compte n'a pas de boîte", "Esta cuenta no tiene buzón", "このアカウントにはメールボックスがありません"},
	textDamaged:      {"Stored mail is damaged; tell the postmaster", "Gespeicherte Post ist beschädigt; bitte an den Postmaster wenden", "Du courrier est endommagé ; prévenez le postmaster", "Correo dañado; avise al postmaster", "メールが壊れています。管理者に連絡してください"},
	textTemporary:    {"Trouble on the server; try again later", "Störung auf dem Server; bitte später versuchen", "Incident sur le serveur ; réessayez plus tard", "Problema en el servidor; inténtelo más tarde", "サーバーの障害です。後でやり直してください"},
	textBusy:         {"Too many logins at once; try again later", "Zu viele Anmeldungen; bitte später versuchen", "Trop de connexions ; réessayez plus tard", "Demasiadas conexiones; inténtelo más tarde", "混み合っています。後でやり直してください"},
	textNotRemoved:   {"Removing the messages failed; try again later", "Löschen fehlgeschlagen; bitte später versuchen", "La suppression a échoué ; réessayez plus tard", "No se pudo borrar; inténtelo más tarde", "削除に失敗しました。後でやり直してください"},
	textNoLanguage:   {"No such language", "Keine solche Sprache", "Pas de telle langue", "No hay tal idioma", "その言語はありません"},
	textTakenOver:    {"A new session has taken over", "Eine neue Sitzung hat übernommen", "Une nouvelle session a pris la suite", "Otra sesión ha tomado el relevo", "新しいセッションに引き継ぎました"},
	textShutdown:     {"The server is going down; try again later", "Der Server wird beendet; bitte später versuchen", "Le serveur s'arrête ; réessayez plus tard", "El servidor se detiene; inténtelo más tarde", "サーバーを停止します。後でやり直してください"},
	textTooMany:      {"Too many errors", "Zu viele Fehler", "Trop d'erreurs", "Demasiados errores", "誤りが多すぎます"},
}
