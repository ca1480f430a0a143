/* A simulated disk that loses unsynced writes, for a process that is started with this library in LD_PRELOAD.
 *
 * It records one database file and its write-ahead log (DISK_FILE, DISK_FILE-wal). Their synced contents are kept in the directory
 * DISK_IMAGE, also for the next process: `<id>` is the content of a file at its last sync, `names` lists the names at the last sync
 * of the directory (`db 1`, `wal 2`), and `live` lists the current names. No sync is passed to the real disk.
 *
 * If the file DISK_IMAGE/fail-db or DISK_IMAGE/fail-wal exists, the next sync of that file fails with EIO, deletes the mark, and
 * marks the unsynced data as clean, as Linux does. While DISK_IMAGE/full exists, no file of the store can grow. If the file
 * DISK_IMAGE/end-after exists at the start, the process exits after the number of syncs in it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NAMES = 2, FDS = 65536, DIRECTORY = -1, INDEX = -2 };

struct range { off_t at; off_t end; };

/* A file, which may have been unlinked. */
struct file {
  int id;
  int name;
  int shadow;
  off_t size_min;
  size_t count, room;
  struct range *dirty;
};

static const char *const labels[NAMES] = {"db", "wal"};
static const char *const suffixes[NAMES] = {"", "-wal"};
static char paths[NAMES][4096], index_path[4096], directory[4096], image[4096];
static struct file *current[NAMES];
static struct file *files[FDS];
static signed char kinds[FDS];
static int last_id, is_on, syncs_left;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void die(const char *what) {
  dprintf(2, "disk.c: %s: %s\n", what, strerror(errno));
  abort();
}

static const char *in_image(const char *name, char *room) {
  snprintf(room, 8192, "%s/%s", image, name);
  return room;
}

static int raw_open(const char *path, int flags, int mode) {
  return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, mode);
}

static void write_names(const char *name) {
  char path[8192], partial[8192], text[256] = "";
  for (int i = 0; i < NAMES; i++)
    if (current[i]) snprintf(text + strlen(text), 64, "%s %d\n", labels[i], current[i]->id);
  int fd = raw_open(in_image("partial", partial), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd < 0 || syscall(SYS_write, fd, text, strlen(text)) != (long)strlen(text)) die("write the names");
  syscall(SYS_close, fd);
  if (syscall(SYS_renameat2, AT_FDCWD, partial, AT_FDCWD, in_image(name, path), 0)) die("rename the names");
}

static void copy(int from, int to, off_t at, off_t end) {
  char buffer[65536];
  while (at < end) {
    size_t n = (size_t)(end - at) < sizeof buffer ? (size_t)(end - at) : sizeof buffer;
    long got = syscall(SYS_pread64, from, buffer, n, at);
    if (got < 0) die("read");
    if (got == 0) return;
    if (syscall(SYS_pwrite64, to, buffer, got, at) != got) die("write the image");
    at += got;
  }
}

static struct file *add(int name, int id, int flags) {
  char path[8192], label[32];
  struct file *file = calloc(1, sizeof *file);
  if (!file) die("memory");
  file->id = id;
  file->name = name;
  if (last_id < id) last_id = id;
  snprintf(label, sizeof label, "%d", id);
  file->shadow = raw_open(in_image(label, path), O_RDWR | flags, 0600);
  if (file->shadow < 0) die("open the image");
  current[name] = file;
  return file;
}

static struct file *add_new(int name) { return add(name, last_id + 1, O_CREAT | O_TRUNC); }

/* Continues with the image of an earlier process. Its unsynced data is only in the page cache, and is treated as clean. */
static void continue_with(FILE *live) {
  char label[16];
  int id;
  while (fscanf(live, "%15s %d", label, &id) == 2)
    for (int i = 0; i < NAMES; i++)
      if (!strcmp(label, labels[i])) add(i, id, 0);
}

/* Takes the current content of a file as synced. */
static void begin_with(int name, int fd) {
  struct stat stat;
  if (fstat(fd, &stat)) die("stat");
  copy(fd, add_new(name)->shadow, 0, stat.st_size);
}

__attribute__((constructor)) static void begin(void) {
  const char *file = getenv("DISK_FILE"), *to = getenv("DISK_IMAGE");
  char path[8192];
  if (!file || !to) return;
  snprintf(image, sizeof image, "%s", to);
  snprintf(directory, sizeof directory, "%s", file);
  *strrchr(directory, '/') = 0;
  snprintf(index_path, sizeof index_path, "%s-shm", file);
  FILE *live = fopen(in_image("live", path), "r");
  if (live) continue_with(live);
  for (int i = 0; i < NAMES; i++) {
    struct stat stat;
    snprintf(paths[i], sizeof paths[i], "%s%s", file, suffixes[i]);
    int fd = raw_open(paths[i], O_RDONLY, 0);
    if (fd < 0) continue;
    if (!live) begin_with(i, fd);
    if (fstat(fd, &stat)) die("stat");
    if (current[i]) current[i]->size_min = stat.st_size;
    syscall(SYS_close, fd);
  }
  if (live) {
    fclose(live);
  } else {
    write_names("names");
    write_names("live");
  }
  FILE *end = fopen(in_image("end-after", path), "r");
  if (end) {
    if (fscanf(end, "%d", &syncs_left) != 1) die("read when to end");
    fclose(end);
  }
  is_on = 1;
}

static void opened(int fd, const char *path) {
  if (!is_on || fd < 0 || fd >= FDS) return;
  pthread_mutex_lock(&lock);
  files[fd] = NULL;
  kinds[fd] = 0;
  if (!strcmp(path, directory)) kinds[fd] = DIRECTORY;
  if (!strcmp(path, index_path)) kinds[fd] = INDEX;
  for (int i = 0; i < NAMES; i++)
    if (!strcmp(path, paths[i])) {
      if (!current[i]) {
        add_new(i);
        write_names("live");
      }
      files[fd] = current[i];
    }
  pthread_mutex_unlock(&lock);
}

#define OPEN(symbol)                                                  \
  int symbol(const char *path, int flags, ...) {                      \
    va_list rest;                                                     \
    va_start(rest, flags);                                            \
    int mode = flags & O_CREAT ? va_arg(rest, int) : 0;              \
    va_end(rest);                                                     \
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);   \
    opened(fd, path);                                                 \
    return fd;                                                        \
  }
OPEN(open)
OPEN(open64)

int unlink(const char *path) {
  int done = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
  if (!done && is_on) {
    pthread_mutex_lock(&lock);
    for (int i = 0; i < NAMES; i++)
      if (!strcmp(path, paths[i])) {
        current[i] = NULL;
        write_names("live");
      }
    pthread_mutex_unlock(&lock);
  }
  return done;
}

static int has(const char *name) {
  char path[8192];
  return !syscall(SYS_faccessat, AT_FDCWD, in_image(name, path), F_OK);
}

static int is_full(int fd, off_t end) {
  struct stat stat;
  return has("full") && !fstat(fd, &stat) && end > stat.st_size;
}

static ssize_t put(int fd, const void *bytes, size_t count, off_t at) {
  if (!is_on || fd < 0 || fd >= FDS || (!files[fd] && kinds[fd] != INDEX))
    return syscall(SYS_pwrite64, fd, bytes, count, at);
  if (is_full(fd, at + (off_t)count)) {
    errno = ENOSPC;
    return -1;
  }
  pthread_mutex_lock(&lock);
  ssize_t done = syscall(SYS_pwrite64, fd, bytes, count, at);
  struct file *file = files[fd];
  if (file && done > 0) {
    if (file->count == file->room) {
      file->room = file->room ? 2 * file->room : 64;
      file->dirty = realloc(file->dirty, file->room * sizeof *file->dirty);
      if (!file->dirty) die("memory");
    }
    file->dirty[file->count++] = (struct range){at, at + done};
  }
  pthread_mutex_unlock(&lock);
  return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return put(fd, bytes, count, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) { return put(fd, bytes, count, at); }

static int cut(int fd, off_t size) {
  if (!is_on || fd < 0 || fd >= FDS || !files[fd]) return (int)syscall(SYS_ftruncate, fd, size);
  pthread_mutex_lock(&lock);
  int done = (int)syscall(SYS_ftruncate, fd, size);
  if (!done && size < files[fd]->size_min) files[fd]->size_min = size;
  pthread_mutex_unlock(&lock);
  return done;
}

int ftruncate(int fd, off_t size) { return cut(fd, size); }
int ftruncate64(int fd, off64_t size) { return cut(fd, size); }

static int sync_file(int fd, struct file *file) {
  char name[32], path[8192];
  struct stat stat;
  snprintf(name, sizeof name, "fail-%s", labels[file->name]);
  int fails = has(name);
  if (fstat(fd, &stat)) die("stat");
  if (fails) {
    syscall(SYS_unlinkat, AT_FDCWD, in_image(name, path), 0);
  } else {
    /* First apply truncations since the last sync: bytes after them that were not written again are zero. */
    if (syscall(SYS_ftruncate, file->shadow, file->size_min) || syscall(SYS_ftruncate, file->shadow, stat.st_size))
      die("truncate the image");
    for (size_t i = 0; i < file->count; i++)
      copy(fd, file->shadow, file->dirty[i].at, file->dirty[i].end < stat.st_size ? file->dirty[i].end : stat.st_size);
    file->size_min = stat.st_size;
  }
  file->count = 0;
  if (fails) errno = EIO;
  return fails ? -1 : 0;
}

static int put_on_disk(int fd) {
  int done = 0;
  if (!is_on || fd < 0 || fd >= FDS || (!files[fd] && kinds[fd] != DIRECTORY)) return 0;
  pthread_mutex_lock(&lock);
  if (files[fd])
    done = sync_file(fd, files[fd]);
  else
    write_names("names");
  if (syncs_left && --syncs_left == 0) syscall(SYS_exit_group, 9);
  pthread_mutex_unlock(&lock);
  return done;
}

int fsync(int fd) { return put_on_disk(fd); }
int fdatasync(int fd) { return put_on_disk(fd); }

int close(int fd) {
  if (is_on && fd >= 0 && fd < FDS) {
    pthread_mutex_lock(&lock);
    files[fd] = NULL;
    kinds[fd] = 0;
    pthread_mutex_unlock(&lock);
  }
  return (int)syscall(SYS_close, fd);
}
