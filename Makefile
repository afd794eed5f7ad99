# The front door. The build itself is meson.build.
.DEFAULT_GOAL := all
.PHONY: all demo test bench sim chaos tidy install clean help

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
	@bench/epochs

sim:
	@tools/setup test
	@tools/sim

chaos: all
	@test/chaos/chaos --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED))

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
	@echo "make bench    word count and flights beside DuckDB, and what epochs cost; ten minutes"
	@echo "make sim      the simulator: SEED=17 (one, told as it goes) or SEEDS=300 [FROM=1]; also"
	@echo "              WORKLOAD=name, PLANT=id"
	@echo "make chaos    a job killed, stopped and starved for ten minutes: SECONDS=600, SEED=1"
	@echo "make tidy     what a machine can check about the source"
	@echo "make install  command, libraries, header, man pages (PREFIX=$(PREFIX), DESTDIR=)"
	@echo "make clean    removes build/ and bin/"
