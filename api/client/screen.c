/* SPDX-License-Identifier: Apache-2.0 */
#include "api/client/screen.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "agent/base/process.h"
#include "agent/base/text.h"

/* The other screen, no cursor, no wrapping of long lines; and back. */
#define ENTER "\033[?1049h\033[?25l\033[?7l"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"
#define HOME "\033[H"
#define END_OF_LINE "\033[K"
#define END_OF_SCREEN "\033[J"

enum { KEY_END_OF_TRANSMISSION = 4, DEFAULT_ROWS = 24 };

static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
static const int other[] = {SIGWINCH, SIGTSTP, SIGCONT};

struct screen {
	int signal_fd;
	sigset_t blocked_before;
	bool has_keys; /* standard input is a terminal */
	struct termios keys_before;
	int ended_by; /* a signal, 0: none */
};

static void write_all(const char *text, size_t length)
{
	while (length > 0) {
		ssize_t n = write(STDOUT_FILENO, text, length);

		if (n < 0 && errno != EINTR)
			return; /* a terminal that is gone: SIGHUP follows */
		if (n > 0) {
			text += n;
			length -= (size_t)n;
		}
	}
}

static void enter(struct screen *screen)
{
	if (screen->has_keys) {
		struct termios keys = screen->keys_before;

		keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		keys.c_cc[VMIN] = 1;
		keys.c_cc[VTIME] = 0;
		tcsetattr(STDIN_FILENO, TCSADRAIN, &keys);
	}
	write_all(ENTER, strlen(ENTER));
}

static void leave(struct screen *screen)
{
	write_all(LEAVE, strlen(LEAVE));
	if (screen->has_keys)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &screen->keys_before);
}

static void fill_set(sigset_t *set)
{
	sigemptyset(set);
	for (size_t i = 0; i < ELEMENTSOF(ending); i++)
		sigaddset(set, ending[i]);
	for (size_t i = 0; i < ELEMENTSOF(other); i++)
		sigaddset(set, other[i]);
}

int screen_open(struct screen **ret, struct error *err)
{
	struct screen *screen = calloc(1, sizeof(*screen));
	sigset_t set;

	if (!screen)
		return error_set_errno(err, -ENOMEM, "cannot use the terminal");
	fill_set(&set);
	sigprocmask(SIG_BLOCK, &set, &screen->blocked_before);
	screen->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (screen->signal_fd < 0) {
		int r = -errno;

		sigprocmask(SIG_SETMASK, &screen->blocked_before, NULL);
		free(screen);
		return error_set_errno(err, r, "cannot use the terminal");
	}
	screen->has_keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &screen->keys_before) == 0;
	enter(screen);
	*ret = screen;
	return 0;
}

void screen_close(struct screen *screen)
{
	int ended_by;

	if (!screen)
		return;
	ended_by = screen->ended_by;
	leave(screen);
	close_keep_errno(screen->signal_fd);
	sigprocmask(SIG_SETMASK, &screen->blocked_before, NULL);
	free(screen);
	if (ended_by != 0 && ended_by != SIGINT)
		raise(ended_by);
}

static unsigned window_rows(void)
{
	struct winsize size;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : DEFAULT_ROWS;
}

static unsigned count_lines(const char *lines)
{
	unsigned n = 0;

	for (; *lines; lines++)
		n += *lines == '\n';
	return n;
}

void screen_draw(_unused_ struct screen *screen, const char *lines)
{
	unsigned rows = window_rows(), n = count_lines(lines);
	unsigned shown = n > rows ? rows - 1 : n;
	_cleanup_text_ struct text out = TEXT_INIT;

	text_append(&out, HOME);
	for (unsigned i = 0; i < shown; i++) {
		size_t length = strcspn(lines, "\n");

		text_append_bytes(&out, lines, length);
		text_append(&out, i + 1 < shown || n > shown ? END_OF_LINE "\r\n" : END_OF_LINE);
		lines += length + 1;
	}
	if (n > shown)
		text_printf(&out, "... %u more lines" END_OF_LINE, n - shown);
	text_append(&out, END_OF_SCREEN);
	if (!out.failed)
		write_all(out.data, out.length);
}

/* Ctrl-Z: the shell gets its screen, and we wait to be continued. */
static void stop(struct screen *screen)
{
	leave(screen);
	raise(SIGSTOP);
	enter(screen);
}

static enum screen_event take_signal(struct screen *screen)
{
	struct signalfd_siginfo info;

	if (read(screen->signal_fd, &info, sizeof(info)) != sizeof(info))
		return SCREEN_REDRAW;
	for (size_t i = 0; i < ELEMENTSOF(ending); i++)
		if (info.ssi_signo == (uint32_t)ending[i]) {
			screen->ended_by = ending[i];
			return SCREEN_QUIT;
		}
	if (info.ssi_signo == SIGTSTP)
		stop(screen);
	else if (info.ssi_signo == SIGCONT)
		enter(screen);
	return SCREEN_REDRAW;
}

/* *ret_known is false for a key that means nothing. */
static enum screen_event take_key(struct screen *screen, bool *ret_known)
{
	char key = '\0';
	ssize_t n = read(STDIN_FILENO, &key, 1);

	*ret_known = true;
	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) {
		screen->has_keys = false; /* the terminal is gone */
		return SCREEN_QUIT;
	}
	if (key == 'q' || key == 'Q' || key == KEY_END_OF_TRANSMISSION)
		return SCREEN_QUIT;
	*ret_known = key == ' ';
	return SCREEN_TIMEOUT;
}

enum screen_event screen_wait(struct screen *screen, int64_t deadline_ms)
{
	for (;;) {
		int64_t left = deadline_ms - process_now_ms();
		struct pollfd fds[] = {
			{.fd = screen->signal_fd, .events = POLLIN},
			{.fd = screen->has_keys ? STDIN_FILENO : -1, .events = POLLIN},
		};
		bool known;
		enum screen_event event;

		if (poll(fds, ELEMENTSOF(fds), left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left) <= 0) {
			if (left <= 0)
				return SCREEN_TIMEOUT;
			continue;
		}
		if (fds[0].revents)
			return take_signal(screen);
		event = take_key(screen, &known);
		if (known)
			return event;
	}
}

bool screen_wants_to_quit(void)
{
	sigset_t pending;
	bool wants = false;

	if (sigpending(&pending) < 0)
		return false;
	for (size_t i = 0; i < ELEMENTSOF(ending); i++)
		wants = wants || sigismember(&pending, ending[i]) == 1;
	return wants;
}
