/*
 * postwain-pam asks PAM whether a password is right, for postwain's account
 * source of that name.
 *
 * On descriptor 3 it reads one request, at most 4096 octets up to the end:
 *
 *	service NUL user NUL password NUL remote NUL
 *
 * where remote is the client's address and may be empty. Its exit codes:
 *
 *	0	the password is right and the account may be used; the name that
 *		PAM gives the account is on standard output, without a line end
 *	1	refused
 *	2	wrongly used
 *	111	PAM cannot tell now; standard error says why, without secrets
 *
 * It runs as the user who starts it and must not be set-user-ID. pam_unix has
 * to read /etc/shadow, so that user must be root or, on Debian and its like, in
 * the group shadow. Modules that ask a server or read a file of their own have
 * no such need.
 *
 * It waits for no delay that a module wants after a wrong password: the server
 * has its own, which does not keep others from asking.
 *
 *	cc -O2 -o postwain-pam postwain-pam.c -lpam
 */

#define _DEFAULT_SOURCE

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <security/pam_appl.h>

enum { PROVED = 0, REFUSED = 1, MISUSED = 2, TEMPORARY = 111 };
enum { REQUEST_FD = 3, MAX_REQUEST = 4096, MAX_SERVICE = 64, MAX_NAME = 1024 };

struct request {
	const char *service, *user, *password, *remote;
};

static char space[MAX_REQUEST + 1]; /* what was read */

/* Writes zeros that the compiler must not leave out. */
static void wipe(void *p, size_t n)
{
	volatile unsigned char *c = p;

	while (n-- > 0)
		*c++ = 0;
}

/* Nobody gets a core dump with the password in it, nor traces the process. */
static void conceal(void)
{
	struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
#ifdef __linux__
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

/* Reads up to the end. Returns the number of octets, or -1. */
static ssize_t read_request(void)
{
	size_t n = 0;

	while (n < sizeof space) {
		ssize_t got = read(REQUEST_FD, space + n, sizeof space - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	close(REQUEST_FD);
	return (ssize_t)n;
}

/* Takes one string off the front of what is left. NULL: there is none. */
static const char *take(const char **rest, size_t *left)
{
	const char *begin = *rest;
	const char *end = *left > 0 ? memchr(begin, 0, *left) : NULL;

	if (end == NULL)
		return NULL;
	*left -= (size_t)(end - begin) + 1;
	*rest = end + 1;
	return begin;
}

/* A service is the name of a file in PAM's directory. */
static int is_service(const char *s)
{
	static const char may[] = "abcdefghijklmnopqrstuvwxyz"
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t n = strlen(s);

	return n > 0 && n <= MAX_SERVICE && s[0] != '.' && strspn(s, may) == n;
}

static int parse(struct request *r, size_t left)
{
	const char *rest = space;

	if (left > MAX_REQUEST)
		return 0;
	r->service = take(&rest, &left);
	r->user = r->service ? take(&rest, &left) : NULL;
	r->password = r->user ? take(&rest, &left) : NULL;
	r->remote = r->password ? take(&rest, &left) : NULL;
	return r->remote != NULL && left == 0 && is_service(r->service) && *r->user != '\0';
}

static void drop_replies(struct pam_response *replies, int n)
{
	for (int i = 0; i < n; i++)
		if (replies[i].resp != NULL) {
			wipe(replies[i].resp, strlen(replies[i].resp));
			free(replies[i].resp);
		}
	free(replies);
}

/*
 * Answers what a module asks: the password where the answer would not be shown,
 * the user where it would. There is nobody to read what it tells.
 */
static int converse(int n, const struct pam_message **asked, struct pam_response **answers, void *data)
{
	const struct request *r = data;
	struct pam_response *replies;

	if (n <= 0 || n > PAM_MAX_NUM_MSG)
		return PAM_CONV_ERR;
	replies = calloc((size_t)n, sizeof *replies);
	if (replies == NULL)
		return PAM_BUF_ERR;
	for (int i = 0; i < n; i++) {
		const char *text = NULL;

		switch (asked[i]->msg_style) {
		case PAM_PROMPT_ECHO_OFF:
			text = r->password;
			break;
		case PAM_PROMPT_ECHO_ON:
			text = r->user;
			break;
		case PAM_TEXT_INFO:
		case PAM_ERROR_MSG:
			continue;
		default:
			drop_replies(replies, n);
			return PAM_CONV_ERR;
		}
		replies[i].resp = strdup(text);
		if (replies[i].resp == NULL) {
			drop_replies(replies, n);
			return PAM_BUF_ERR;
		}
	}
	*answers = replies;
	return PAM_SUCCESS;
}

#ifdef PAM_FAIL_DELAY
static void no_delay(int result, unsigned usec, void *data)
{
	(void)result;
	(void)usec;
	(void)data;
}

/* PAM takes a function for an item as it takes a string: as a pointer. */
static int set_no_delay(pam_handle_t *h)
{
	union {
		void (*function)(int, unsigned, void *);
		const void *item;
	} u = {no_delay};

	return pam_set_item(h, PAM_FAIL_DELAY, u.item);
}
#else
static int set_no_delay(pam_handle_t *h)
{
	(void)h;
	return PAM_SUCCESS;
}
#endif

static int prepare(pam_handle_t *h, const struct request *r)
{
	int result = pam_set_item(h, PAM_TTY, "postwain");

	if (result == PAM_SUCCESS && *r->remote != '\0')
		result = pam_set_item(h, PAM_RHOST, r->remote);
	if (result == PAM_SUCCESS)
		result = set_no_delay(h);
	return result;
}

/* Writes the name that PAM gives the account, which may be another one. */
static int tell_account(pam_handle_t *h)
{
	const void *item = NULL;
	const char *name;
	size_t n;

	if (pam_get_item(h, PAM_USER, &item) != PAM_SUCCESS || item == NULL)
		return 0;
	name = item;
	n = strlen(name);
	return n > 0 && n <= MAX_NAME && fwrite(name, 1, n, stdout) == n && fflush(stdout) == 0;
}

/* Refused is who would be refused again; all else is trouble of our own. */
static int meaning(int result)
{
	switch (result) {
	case PAM_SUCCESS:
		return PROVED;
	case PAM_AUTH_ERR:
	case PAM_USER_UNKNOWN:
	case PAM_MAXTRIES:
	case PAM_ACCT_EXPIRED:
	case PAM_PERM_DENIED:
	case PAM_NEW_AUTHTOK_REQD:
#ifdef PAM_AUTHTOK_EXPIRED
	case PAM_AUTHTOK_EXPIRED:
#endif
		return REFUSED;
	}
	return TEMPORARY;
}

static int ask(const struct request *r)
{
	const struct pam_conv conv = {converse, (void *)r};
	const int flags = PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK;
	const char *step = "pam_start";
	pam_handle_t *h = NULL;
	int code, result = pam_start(r->service, r->user, &conv, &h);

	if (result == PAM_SUCCESS) {
		step = "pam_set_item";
		result = prepare(h, r);
	}
	if (result == PAM_SUCCESS) {
		step = "pam_authenticate";
		result = pam_authenticate(h, flags);
	}
	if (result == PAM_SUCCESS) {
		step = "pam_acct_mgmt";
		result = pam_acct_mgmt(h, flags);
	}
	code = meaning(result);
	if (code == PROVED && !tell_account(h)) {
		fprintf(stderr, "the name of the account cannot be told\n");
		code = TEMPORARY;
	} else if (code == TEMPORARY) {
		fprintf(stderr, "%s for service %s: %s\n", step, r->service, pam_strerror(h, result));
	}
	if (h != NULL)
		pam_end(h, result);
	return code;
}

int main(void)
{
	struct request r;
	ssize_t n;
	int code = MISUSED;

	if (getuid() != geteuid() || getgid() != getegid()) {
		fprintf(stderr, "must not be set-user-ID or set-group-ID\n");
		return MISUSED;
	}
	conceal();
	n = read_request();
	if (n >= 0 && parse(&r, (size_t)n))
		code = ask(&r);
	else
		fprintf(stderr, "no request on descriptor 3: postwain runs this program\n");
	wipe(space, sizeof space);
	return code;
}
