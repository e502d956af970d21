// The only program of a kernel under test: loads what is in /modules and says what the kernel says of itself.
// Knows nothing of how the kernel was built. Compiled with the kernel's own nolibc, for any of its architectures.

#define CHUNK 4096

// As nolibc called it before 7.1 or so.
#ifndef my_syscall3
#define my_syscall3 __nolibc_syscall3
#endif

static char chunk[CHUNK], digits[2 * CHUNK];

static void show(const char *path)
{
	int fd = open(path, O_RDONLY), count;

	while ((count = read(fd, chunk, CHUNK)) > 0)
		write(1, chunk, count);
	close(fd);
}

// A file that is no text, on one line, in hexadecimal.
static void show_bytes(const char *name, const char *path)
{
	int fd = open(path, O_RDONLY), count, i;

	printf("%s ", name);
	while ((count = read(fd, chunk, CHUNK)) > 0) {
		for (i = 0; i < count; i++) {
			digits[2 * i] = "0123456789ABCDEF"[(chunk[i] >> 4) & 15];
			digits[2 * i + 1] = "0123456789ABCDEF"[chunk[i] & 15];
		}
		write(1, digits, 2 * count);
	}
	printf("\n");
	close(fd);
}

static void show_size(const char *name, const char *path)
{
	int fd = open(path, O_RDONLY), count, size = 0;

	while ((count = read(fd, chunk, CHUNK)) > 0)
		size += count;
	printf("%s %d\n", name, size);
	close(fd);
}

// Whether it was loaded now. One whose symbols another has not brought yet is refused, and its turn comes again.
static int load(const char *file)
{
	int fd = open(file, O_RDONLY), result = my_syscall3(__NR_finit_module, fd, "", 0);

	close(fd);
	if (result < 0 && result != -EEXIST)
		printf("refused %s: error %d\n", file, -result);
	return result == 0;
}

// How many modules in the current folder were loaded now.
static int load_all(void)
{
	static char entries[16384];
	int fd = open(".", O_RDONLY), count, loaded = 0;
	struct linux_dirent64 *entry;
	char *at;

	while ((count = getdents64(fd, (void *)entries, sizeof(entries))) > 0)
		for (at = entries; at < entries + count; at += entry->d_reclen) {
			entry = (void *)at;
			if (entry->d_name[0] != '.')
				loaded += load(entry->d_name);
		}
	close(fd);
	return loaded;
}

static int write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), count = write(fd, text, strlen(text));

	close(fd);
	return count == (int)strlen(text);
}

// How many calls the function tracer has seen once it has run.
static void trace(void)
{
	int fd, count, i, calls = 0;

	if (mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, 0) ||
	    !write_to("/sys/kernel/tracing/current_tracer", "function"))
		return;
	show_size("WHILE-TRACED", "/proc/modules");
	write_to("/sys/kernel/tracing/tracing_on", "0");
	fd = open("/sys/kernel/tracing/trace", O_RDONLY);
	while (calls < 1000 && (count = read(fd, chunk, CHUNK)) > 0)
		for (i = 0; i + 1 < count; i++)
			calls += chunk[i] == '<' && chunk[i + 1] == '-';
	close(fd);
	printf("TRACED %d\n", calls);
	write_to("/sys/kernel/tracing/current_tracer", "nop");
}

int main(void)
{
	mount("proc", "/proc", "proc", 0, 0);
	mount("sysfs", "/sys", "sysfs", 0, 0);
	chdir("/modules");
	while (load_all())
		;
	show("/proc/version");
	show("/proc/modules");
	show_bytes("CONFIG", "/proc/config.gz");
	show_size("KHEADERS", "/sys/kernel/kheaders.tar.xz");
	show_size("BTF", "/sys/kernel/btf/vmlinux");
	trace();
	printf("BOOT-OK\n");
	reboot(LINUX_REBOOT_CMD_RESTART);
	return 1;
}
