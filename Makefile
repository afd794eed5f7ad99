# The front door. The build itself is meson.build.
.DEFAULT_GOAL := all
.PHONY: all demo test bench tidy install clean help

PREFIX ?= /usr/local
DESTDIR ?=
RELEASE = build/release

all:
	@tools/build $(RELEASE)
	@tools/bin $(RELEASE)

demo:
	@tools/setup build
	@$(MAKE) --no-print-directory all
	@tools/demo

test:
	@tools/setup test
	@tools/test

bench:
	@tools/setup test
	@$(MAKE) --no-print-directory all
	@build/venv/bin/python bench/speed

tidy:
	@tools/tidy

install: all
	@meson configure $(RELEASE) -Dprefix=$(abspath $(PREFIX)) >/dev/null
	@tools/build $(RELEASE) >/dev/null
	@DESTDIR="$(DESTDIR)" meson install -C $(RELEASE) --quiet --no-rebuild >/dev/null
	@echo "installed under $(DESTDIR)$(abspath $(PREFIX))"

clean:
	rm -rf build bin

help:
	@echo "make          release build: bin/millrace, bin/examples/*"
	@echo "make demo     build and show two jobs over real flights; installs missing packages"
	@echo "make test     every test, with sanitizers, then tidy; installs missing packages"
	@echo "make bench    word count and flights beside DuckDB on the same files; a few minutes"
	@echo "make tidy     what a machine can check about the source"
	@echo "make install  command, libraries, header, man pages (PREFIX=$(PREFIX), DESTDIR=)"
	@echo "make clean    removes build/ and bin/"
