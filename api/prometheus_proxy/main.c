/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

/*
 * prometheus-proxy: what a listener of protocol PROMETHEUS shows. HAProxy has its exporter on 127.0.0.1:9101; this turns
 * its page into Octavia's terms on 127.0.0.1:9102, both inside the network namespace.
 *
 * The namespace may come later than we, or be made anew: it is looked at every NAMESPACE_CHECK_S.
 *
 * Source: octavia/cmd/prometheus_proxy.py.
 */

#include <arpa/inet.h>
#include <getopt.h>
#include <microhttpd.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "agent/base/log.h"
#include "agent/base/namespace.h"
#include "agent/config.h"
#include "api/prometheus_proxy/exporter.h"
#include "api/prometheus_proxy/lvs.h"
#include "api/prometheus_proxy/machine.h"

enum {
	NAMESPACE_CHECK_S = 5,
	RETRY_S = 1,
	THREADS = 2,
	CONNECTIONS = 32,
	IDLE_S = 30,
	BLOCK_BYTES = 32 * 1024,
};

struct proxy {
	struct sockaddr_in listen, exporter;
	struct config *config;
	char *lvs_dir;
	const char *network_namespace; /* NULL: ours */
	int namespace_fd;              /* -1: ours */
	struct MHD_Daemon *daemon;
	char **config_files;
	size_t n_config_files;
};

static const char help_text[] =
	"Usage: prometheus-proxy [OPTION]...\n"
	"Shows HAProxy's metrics under the names of Octavia.\n"
	"\n"
	"      --config-file FILE       read this configuration of amphorad; may be repeated\n"
	"      --listen ADDRESS:PORT    where to serve (default: 127.0.0.1:9102)\n"
	"      --exporter ADDRESS:PORT  HAProxy's exporter (default: 127.0.0.1:9101)\n"
	"  -h, --help                   show this help\n"
	"  -V, --version                show the version\n"
	"\n"
	"See prometheus-proxy(8).\n";

/* One page on its way. */
struct page {
	struct exporter exporter;
	struct extra_samples extra;
	struct translation translation;
	struct text out;
	size_t given; /* of "out" */
	bool ended;
};

static void page_free(void *userdata)
{
	struct page *page = userdata;

	exporter_close(&page->exporter);
	translation_done(&page->translation);
	extra_samples_done(&page->extra);
	text_done(&page->out);
	free(page);
}

/* Translates more of the page. */
static int page_go_on(struct page *page)
{
	const char *bytes;
	ssize_t n = exporter_read(&page->exporter, &bytes);

	text_truncate(&page->out, 0);
	page->given = 0;
	if (n < 0)
		return (int)n;
	if (n > 0)
		return translation_feed(&page->translation, bytes, (size_t)n, &page->out);
	page->ended = true;
	return translation_finish(&page->translation, &page->out);
}

static ssize_t page_read(void *userdata, uint64_t position, char *buffer, size_t max)
{
	struct page *page = userdata;
	size_t n;

	(void)position;
	while (page->given == page->out.length) {
		if (page->ended)
			return MHD_CONTENT_READER_END_OF_STREAM;
		if (page_go_on(page) < 0)
			return MHD_CONTENT_READER_END_WITH_ERROR;
	}
	n = page->out.length - page->given;
	if (n > max)
		n = max;
	memcpy(buffer, page->out.data + page->given, n);
	page->given += n;
	return (ssize_t)n;
}

static int page_open(const struct proxy *proxy, struct page **ret, struct error *err)
{
	struct page *page = calloc(1, sizeof(*page));
	int r;

	if (!page)
		return error_set_errno(err, -ENOMEM, "page");
	page->exporter.fd = -1;
	r = lvs_samples(proxy->lvs_dir, proxy->network_namespace, &page->extra, err);
	if (r == 0)
		r = machine_samples(&page->out);
	if (r == 0)
		r = translation_init(&page->translation, &page->extra);
	if (r == 0)
		r = exporter_open(proxy->namespace_fd, &proxy->exporter, "/metrics", &page->exporter, err);
	if (r < 0) {
		page_free(page);
		return r;
	}
	*ret = page;
	return 0;
}

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response)
{
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result answer_empty(struct MHD_Connection *connection, unsigned status)
{
	static char nothing[] = "";

	return answer(connection, status, MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT));
}

static enum MHD_Result on_request(void *userdata, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *upload, size_t *upload_size, void **state)
{
	_cleanup_error_ struct error problem = ERROR_INIT;
	const struct proxy *proxy = userdata;
	struct MHD_Response *response;
	struct page *page = NULL;

	(void)url;
	(void)version;
	(void)upload;
	if (!streq(method, MHD_HTTP_METHOD_GET) && !streq(method, MHD_HTTP_METHOD_HEAD))
		return answer_empty(connection, MHD_HTTP_METHOD_NOT_ALLOWED);
	if (!*state) { /* the head; a body would follow */
		*state = userdata;
		return MHD_YES;
	}
	if (*upload_size > 0) {
		*upload_size = 0;
		return MHD_YES;
	}
	if (page_open(proxy, &page, &problem) < 0) {
		log_warning("%s", error_message(&problem));
		return answer_empty(connection, MHD_HTTP_BAD_GATEWAY);
	}
	response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, page_read, page, page_free);
	if (!response) {
		page_free(page);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache");
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; version=0.0.4");
	return answer(connection, MHD_HTTP_OK, response);
}

static int open_listener(const struct proxy *proxy, int *ret_fd)
{
	_cleanup_close_ int fd = -1;
	const int on = 1;
	int r;

	r = namespace_socket(proxy->namespace_fd, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0, &fd);
	if (r < 0)
		return r;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		bind(fd, (const struct sockaddr *)&proxy->listen, sizeof(proxy->listen)) < 0 || listen(fd, CONNECTIONS) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int serve(struct proxy *proxy, struct error *err)
{
	_cleanup_close_ int listen_fd = -1;
	int r;

	if (proxy->network_namespace) {
		r = namespace_open(proxy->network_namespace, &proxy->namespace_fd, err);
		if (r < 0)
			return r;
	}
	r = open_listener(proxy, &listen_fd);
	if (r < 0)
		return error_set_errno(err, r, "cannot listen on port %u", ntohs(proxy->listen.sin_port));
	proxy->daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, on_request, proxy,
		MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)THREADS,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S,
		MHD_OPTION_END);
	if (!proxy->daemon)
		return error_set(err, ERROR_INTERNAL, NULL, "the HTTP server cannot be started");
	TAKE_FD(listen_fd); /* the server closes it */
	return 0;
}

static void stop(struct proxy *proxy)
{
	if (proxy->daemon)
		MHD_stop_daemon(proxy->daemon);
	proxy->daemon = NULL;
	close_keep_errno(proxy->namespace_fd);
	proxy->namespace_fd = -1;
}

/* Is the namespace of that name still the one that we serve? */
static bool is_current(const struct proxy *proxy)
{
	_cleanup_close_ int fd = -1;

	if (!proxy->network_namespace)
		return true;
	return namespace_open(proxy->network_namespace, &fd, NULL) == 0 && namespace_is_same(fd, proxy->namespace_fd);
}

/* Until a signal. */
static void run(struct proxy *proxy, int signal_fd)
{
	struct pollfd waiting = {.fd = signal_fd, .events = POLLIN};
	bool complained = false;

	do {
		_cleanup_error_ struct error problem = ERROR_INIT;

		if (proxy->daemon && !is_current(proxy))
			stop(proxy);
		if (proxy->daemon)
			continue;
		if (serve(proxy, &problem) == 0) {
			log_notice("serving on port %u", ntohs(proxy->listen.sin_port));
			complained = false;
			continue;
		}
		stop(proxy);
		log_line(complained ? LOG_DEBUG : LOG_WARNING, NULL, "not yet: %s", error_message(&problem));
		complained = true;
	} while (poll(&waiting, 1, (proxy->daemon ? NAMESPACE_CHECK_S : RETRY_S) * 1000) == 0);
	stop(proxy);
}

static int parse_address(const char *text, struct sockaddr_in *ret)
{
	const char *colon = strrchr(text, ':');
	_cleanup_free_ char *host = colon ? strndup(text, (size_t)(colon - text)) : NULL;
	struct sockaddr_in address = {.sin_family = AF_INET};
	int64_t port;

	if (!host || inet_pton(AF_INET, host, &address.sin_addr) != 1 || text_to_int64(colon + 1, &port) < 0 ||
		port < 1 || port > 65535)
		return -EINVAL;
	address.sin_port = htons((uint16_t)port);
	*ret = address;
	return 0;
}

static int read_config(struct proxy *proxy, struct error *err)
{
	int r = config_load(proxy->config_files, NULL, &proxy->config, err);

	if (r < 0)
		return r;
	if (asprintf(&proxy->lvs_dir, "%s/lvs", proxy->config->base_path) < 0) {
		proxy->lvs_dir = NULL;
		return error_set_errno(err, -ENOMEM, "configuration");
	}
	proxy->network_namespace = proxy->config->network_namespace[0] ? proxy->config->network_namespace : NULL;
	return 0;
}

/* 0: go on; otherwise the exit status plus 1. */
static int parse_options(struct proxy *proxy, int argc, char **argv)
{
	enum { CONFIG_FILE = 256, LISTEN, EXPORTER, REJECTED };
	static const struct option options[] = {
		{"config-file", required_argument, NULL, CONFIG_FILE},
		{"listen", required_argument, NULL, LISTEN},
		{"exporter", required_argument, NULL, EXPORTER},
		{"rejected", no_argument, NULL, REJECTED}, /* Octavia's, for its developers */
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "hV", options, NULL)) != -1)
		switch (option) {
		case 'h':
			fputs(help_text, stdout);
			return 1;
		case 'V':
			puts("prometheus-proxy (" PACKAGE_NAME ") " PACKAGE_VERSION);
			return 1;
		case REJECTED:
			break;
		case CONFIG_FILE:
			if (strv_push(&proxy->config_files, &proxy->n_config_files, strdup(optarg)) == 0)
				break;
			fputs("prometheus-proxy: no memory\n", stderr);
			return 3;
		case LISTEN:
		case EXPORTER:
			if (parse_address(optarg, option == LISTEN ? &proxy->listen : &proxy->exporter) == 0)
				break;
			fprintf(stderr, "prometheus-proxy: %s is no IPv4 address and port\n", optarg);
			return 3;
		default:
			return 3;
		}
	if (optind < argc) {
		fprintf(stderr, "prometheus-proxy: %s: no argument is expected\n", argv[optind]);
		return 3;
	}
	return 0;
}

static int open_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &signals, SFD_CLOEXEC);
}

int main(int argc, char **argv)
{
	struct proxy proxy = {
		.listen = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(9102)},
		.exporter = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(9101)},
		.namespace_fd = -1,
	};
	_cleanup_error_ struct error problem = ERROR_INIT;
	_cleanup_close_ int signal_fd = -1;
	int r;

	r = parse_options(&proxy, argc, argv);
	if (r > 0) {
		strv_free(proxy.config_files);
		return r - 1;
	}
	log_open(LOG_TARGET_AUTO);
	r = read_config(&proxy, &problem);
	signal_fd = open_signals();
	if (r == 0 && signal_fd < 0)
		r = error_set_errno(&problem, -errno, "signals");
	if (r == 0)
		run(&proxy, signal_fd);
	else
		log_error("%s%s%s", problem.pointer ? problem.pointer : "", problem.pointer ? ": " : "",
			error_message(&problem));
	config_free(proxy.config);
	strv_free(proxy.config_files);
	free(proxy.lvs_dir);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
