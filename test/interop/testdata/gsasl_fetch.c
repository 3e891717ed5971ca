/* Signs in to a POP3 server by a SASL mechanism of GNU SASL, inside TLS 1.3 of
   GnuTLS, and writes the first message to standard output. The -PLUS forms of
   SCRAM are bound to the channel by tls-exporter (RFC 9266).

   gsasl_fetch HOST PORT AUTHORITY MECHANISM USER [CERTIFICATE KEY]

   The password is in POP_PASS. It ends with 1 if the server has refused, and
   with 2 at anything else. */

#include <gnutls/gnutls.h>
#include <gsasl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static gnutls_session_t tls;
static const char *host, *user;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(2);
}

static void check(const char *what, int code)
{
    if (code < 0)
        fail(what, gnutls_strerror(code));
}

static int dial(const char *port)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(host, port, &hints, &found) != 0)
        fail(host, "no address");
    int fd = socket(found->ai_family, found->ai_socktype, 0);
    if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) < 0)
        fail(port, "cannot connect");
    freeaddrinfo(found);
    return fd;
}

static void begin_tls(int fd, const char *authority, const char *certificate, const char *key)
{
    gnutls_certificate_credentials_t credentials;
    check("TLS", gnutls_certificate_allocate_credentials(&credentials));
    check(authority, gnutls_certificate_set_x509_trust_file(credentials, authority, GNUTLS_X509_FMT_PEM));
    if (certificate)
        check(certificate, gnutls_certificate_set_x509_key_file(credentials, certificate, key, GNUTLS_X509_FMT_PEM));
    check("TLS", gnutls_init(&tls, GNUTLS_CLIENT));
    check("TLS", gnutls_priority_set_direct(tls, "NORMAL:-VERS-ALL:+VERS-TLS1.3", NULL));
    check("TLS", gnutls_credentials_set(tls, GNUTLS_CRD_CERTIFICATE, credentials));
    check("TLS", gnutls_server_name_set(tls, GNUTLS_NAME_DNS, host, strlen(host)));
    gnutls_session_set_verify_cert(tls, host, 0);
    gnutls_transport_set_int(tls, fd);
    check("TLS", gnutls_handshake(tls));
}

static void put_line(const char *line)
{
    char buf[32768];
    int n = snprintf(buf, sizeof buf, "%s\r\n", line);
    if (n < 0 || (size_t)n >= sizeof buf)
        fail("line", "too long");
    check("sending", gnutls_record_send(tls, buf, n));
}

/* Reads a line without its end. */
static char *get_line(void)
{
    static char line[32768];
    static char buf[16384];
    static ssize_t have, at;
    for (size_t n = 0; n < sizeof line - 1;) {
        if (at == have) {
            do
                have = gnutls_record_recv(tls, buf, sizeof buf);
            while (have == GNUTLS_E_AGAIN || have == GNUTLS_E_INTERRUPTED);
            at = 0;
            if (have <= 0)
                fail("reading", have < 0 ? gnutls_strerror((int)have) : "the server has hung up");
        }
        char c = buf[at++];
        if (c != '\n') {
            line[n++] = c;
            continue;
        }
        if (n > 0 && line[n - 1] == '\r')
            n--;
        line[n] = 0;
        return line;
    }
    fail("reading", "line too long");
    return NULL;
}

static char *expect_ok(void)
{
    char *line = get_line();
    if (strncmp(line, "+OK", 3) != 0) {
        fprintf(stderr, "the server says: %s\n", line);
        exit(1);
    }
    return line;
}

/* Gives the library what it asks for. */
static int answer(Gsasl *context, Gsasl_session *session, Gsasl_property what)
{
    gnutls_datum_t binding;
    char *base64;
    int code;
    (void)context;
    switch (what) {
    case GSASL_AUTHID:
        return gsasl_property_set(session, what, user);
    case GSASL_PASSWORD:
        return gsasl_property_set(session, what, getenv("POP_PASS"));
    case GSASL_SERVICE:
        return gsasl_property_set(session, what, "pop");
    case GSASL_HOSTNAME:
        return gsasl_property_set(session, what, host);
    case GSASL_CB_TLS_EXPORTER:
        if (!strstr(gsasl_mechanism_name(session), "-PLUS"))
            return GSASL_NO_CALLBACK;
        check("channel binding", gnutls_session_channel_binding(tls, GNUTLS_CB_TLS_EXPORTER, &binding));
        code = gsasl_base64_to((char *)binding.data, binding.size, &base64, NULL);
        if (code == GSASL_OK)
            code = gsasl_property_set(session, what, base64);
        gsasl_free(base64);
        gnutls_free(binding.data);
        return code;
    default:
        return GSASL_NO_CALLBACK;
    }
}

static void sign_in(const char *mechanism)
{
    Gsasl *context;
    Gsasl_session *session;
    int code = gsasl_init(&context);
    if (code != GSASL_OK)
        fail("GNU SASL", gsasl_strerror(code));
    gsasl_callback_set(context, answer);
    if ((code = gsasl_client_start(context, mechanism, &session)) != GSASL_OK)
        fail(mechanism, gsasl_strerror(code));
    char first[64];
    snprintf(first, sizeof first, "AUTH %s", mechanism);
    put_line(first);
    int proved = GSASL_NEEDS_MORE;
    for (;;) {
        char *line = get_line(), *response;
        if (line[0] != '+' || line[1] != ' ') {
            if (strncmp(line, "+OK", 3) != 0) {
                fprintf(stderr, "the server says: %s\n", line);
                exit(1);
            }
            break;
        }
        proved = gsasl_step64(session, line + 2, &response);
        if (proved != GSASL_OK && proved != GSASL_NEEDS_MORE)
            fail(mechanism, gsasl_strerror(proved));
        put_line(response);
        gsasl_free(response);
    }
    if (proved != GSASL_OK)
        fail(mechanism, "the server has let us in before it has proved itself");
    gsasl_finish(session);
    gsasl_done(context);
}

int main(int argc, char **argv)
{
    if (argc != 6 && argc != 8)
        fail("usage", "gsasl_fetch HOST PORT AUTHORITY MECHANISM USER [CERTIFICATE KEY]");
    host = argv[1];
    user = argv[5];
    int fd = dial(argv[2]);
    begin_tls(fd, argv[3], argc == 8 ? argv[6] : NULL, argc == 8 ? argv[7] : NULL);
    expect_ok();
    sign_in(argv[4]);
    put_line("RETR 1");
    expect_ok();
    for (char *line = get_line(); strcmp(line, ".") != 0; line = get_line())
        printf("%s\r\n", line[0] == '.' ? line + 1 : line);
    put_line("QUIT");
    expect_ok();
    gnutls_bye(tls, GNUTLS_SHUT_WR);
    close(fd);
    return 0;
}
