/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "agent/base/lock.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* dlsym(3) gives a pointer to data for what is a function: POSIX wants it to be the same. */
static int find_functions(struct library *library, void *handle, struct error *err)
{
	for (const struct library_function *f = library->functions; f->name; f++) {
		void *symbol = dlsym(handle, f->name);

		if (!symbol)
			return error_set(err, ERROR_UNSUPPORTED, NULL, "the library %s is too old, it has no %s",
				library->soname, f->name);
		memcpy(f->pointer, &symbol, sizeof(symbol));
	}
	return 0;
}

static int load(struct library *library, struct error *err)
{
	void *handle = dlopen(library->soname, RTLD_NOW | RTLD_LOCAL);
	int r;

	if (!handle)
		return error_set(err, ERROR_UNSUPPORTED, NULL, "the library %s cannot be loaded: %s", library->soname,
			dlerror());
	r = find_functions(library, handle, err);
	if (r < 0) {
		dlclose(handle);
		return r;
	}
	library->handle = handle;
	return 0;
}

static int use(struct library *library, struct error *err)
{
	int r = library->users > 0 ? 0 : load(library, err);

	if (r == 0)
		library->users++;
	return r;
}

int library_use(struct library *library, struct error *err)
{
	HOLD(held, &lock);

	return use(library, err);
}

int library_keep(struct library *library, struct error *err)
{
	HOLD(held, &lock);
	int r = library->kept ? 0 : use(library, err);

	if (r == 0)
		library->kept = true;
	return r;
}

void library_release(struct library *library)
{
	HOLD(held, &lock);

	if (--library->users > 0)
		return;
	dlclose(library->handle);
	library->handle = NULL;
}
