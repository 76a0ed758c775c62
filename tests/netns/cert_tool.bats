#!/usr/bin/env bats
# m57-cert beside nebula-cert: each accepts the other's files, and both say the same.
# Needs neither root nor a network. B is the build directory, M57_CERT another binary.

setup() {
	M57_CERT=${M57_CERT:-${B:-$BATS_TEST_DIRNAME/../../build}/m57-cert}
	M57_CERT=$(realpath "$M57_CERT")
	[ -x "$M57_CERT" ] || { echo "no $M57_CERT: run make first"; return 1; }
	export TZ=UTC
	cd "$BATS_TEST_TMPDIR"
}

need_nebula_cert() {
	command -v nebula-cert >/dev/null || skip "needs nebula-cert"
}

# make_ca TOOL: CA, key pair and two certificates with everything a certificate can hold
make_ca() {
	"$1" ca -name "Tést <CA> & \"co\"" -ips 10.42.0.1/16,10.50.0.0/15 -subnets 192.168.0.0/16 \
		-groups "servers, laptops,,a<b" -duration 100h
	"$1" keygen -out-key in.key -out-pub in.pub
	"$1" sign -name one -ip 10.42.0.1/16 -in-pub in.pub -out-crt one.crt
	"$1" sign -name two -ip 10.51.7.9/24 -groups "laptops ,a<b" \
		-subnets 192.168.77.0/24,192.168.5.9/30 -duration 99h0.5s
	cat one.crt two.crt ca.crt >all.crt
}

# time_of FILE notBefore|notAfter: in unix seconds
time_of() {
	date +%s -d "$("$M57_CERT" print -json -path "$1" | sed 's/.*"'"$2"'":"\([^"]*\)".*/\1/')"
}

# refused TOOL ARGUMENTS...: exit status 1, an Error: line, nothing on stdout; prints the error
refused() {
	local status=0 out

	out=$("$@" 2>err) || status=$?
	[ "$status" = 1 ] && [ -z "$out" ] && grep '^Error: ' err
}

@test "nebula-cert reads and trusts what m57-cert makes, and prints the same" {
	need_nebula_cert
	make_ca "$M57_CERT"
	for cert in one.crt two.crt; do
		nebula-cert verify -ca ca.crt -crt $cert
		"$M57_CERT" verify -ca ca.crt -crt $cert
	done
	diff <(nebula-cert print -path all.crt) <("$M57_CERT" print -path all.crt)
	diff <(nebula-cert print -json -path all.crt) <("$M57_CERT" print -json -path all.crt)
	nebula-cert sign -name three -ip 10.42.3.3/16 # with our CA key
	nebula-cert sign -name four -ip 10.42.3.4/16 -in-pub in.pub
	"$M57_CERT" verify -ca ca.crt -crt three.crt
	"$M57_CERT" verify -ca ca.crt -crt four.crt
}

@test "m57-cert reads and trusts what nebula-cert makes, and prints the same" {
	need_nebula_cert
	make_ca nebula-cert
	"$M57_CERT" verify -ca ca.crt -crt one.crt
	"$M57_CERT" verify -ca ca.crt -crt two.crt
	diff <(nebula-cert print -path all.crt) <("$M57_CERT" print -path all.crt)
	diff <(nebula-cert print -json -path all.crt) <("$M57_CERT" print -json -path all.crt)
	"$M57_CERT" sign -name three -ip 10.42.3.3/16 # with nebula's CA key
	"$M57_CERT" sign -name four -ip 10.42.3.4/16 -in-pub in.pub
	nebula-cert verify -ca ca.crt -crt three.crt
	nebula-cert verify -ca ca.crt -crt four.crt
}

@test "times are printed in the local zone, as nebula-cert does" {
	need_nebula_cert
	"$M57_CERT" ca -name zone
	for zone in Europe/Berlin Asia/Kolkata America/St_Johns; do
		for json in true false; do
			diff <(TZ=$zone nebula-cert print -json=$json -path ca.crt) \
				<(TZ=$zone "$M57_CERT" print -json=$json -path ca.crt)
		done
	done
}

@test "certificate fields follow the flags" {
	make_ca "$M57_CERT"
	"$M57_CERT" print -json -path two.crt | grep -F '"groups":["laptops","a\u003cb"]'
	"$M57_CERT" print -json -path two.crt | grep -F '"ips":["10.51.7.9/24"]'
	"$M57_CERT" print -json -path two.crt |
		grep -F '"subnets":["192.168.77.0/24","192.168.5.8/30"]'
	"$M57_CERT" print -json -path ca.crt | grep -F '"ips":["10.42.0.1/16","10.50.0.0/15"]'
	# without -duration a certificate ends one second before its CA
	ca_end=$(time_of ca.crt notAfter)
	end=$(time_of one.crt notAfter)
	[ $((ca_end - end)) = 1 ]
	# the key of -in-pub went in, and no key came out
	key=$(sed 1d\;\$d in.pub | base64 -d | od -An -v -tx1 | tr -d ' \n')
	"$M57_CERT" print -path one.crt | grep "Public key: $key"
	[ ! -e one.key ]
}

@test "flags of later releases mean the same" {
	"$M57_CERT" ca -name a -version 1 -curve 25519 -networks 10.0.0.0/8 \
		-unsafe-networks 192.168.0.0/16
	"$M57_CERT" ca -name a -ips 10.0.0.0/8 -subnets 192.168.0.0/16 -out-crt b.crt -out-key b.key
	for cert in ca b; do
		"$M57_CERT" print -json -path $cert.crt |
			grep -F '"ips":["10.0.0.0/8"]' | grep -F '"subnets":["192.168.0.0/16"]'
	done
	"$M57_CERT" sign -version 1 -name h --networks=10.0.0.1/8 -unsafe-networks 192.168.1.0/24
	"$M57_CERT" sign -version 0 -name i -networks 10.0.0.2/8
	"$M57_CERT" verify -ca ca.crt -crt h.crt
	"$M57_CERT" keygen -curve X25519 -out-key k -out-pub p
}

@test "what is not supported yet says so" {
	refused "$M57_CERT" ca -name a -version 2 | grep 'version 2 is not supported yet'
	refused "$M57_CERT" ca -name a -version 3 | grep 'must be either 1 or 2'
	refused "$M57_CERT" ca -name a -curve P256 | grep 'P256 is not supported yet'
	refused "$M57_CERT" ca -name a -curve x | grep 'invalid curve: x'
	refused "$M57_CERT" ca -name a -encrypt | grep 'encrypt is not supported yet'
	refused "$M57_CERT" ca -name a -pkcs11 pkcs11:x | grep 'pkcs11'
	refused "$M57_CERT" ca -name a -out-qr x.png | grep 'out-qr is not supported yet'
	[ -z "$(ls | grep -v err)" ]
	"$M57_CERT" ca -name a
	refused "$M57_CERT" sign -name h -ip 10.0.0.1/8 -version 2 | grep 'version 2'
	refused "$M57_CERT" print -path ca.crt -out-qr x.png | grep 'out-qr'
}

# Trap 39: the encrypted key of PROTOCOL.md 14.6 is never taken for a key as it stands.
@test "an encrypted CA key is refused as what it is" {
	"$M57_CERT" ca -name a
	cat >ca.key <<-'END'
		-----BEGIN NEBULA ED25519 ENCRYPTED PRIVATE KEY-----
		CjsKC0FFUy0yNTYtR0NNEiwIExCAgAQYASAEKiAAAQIDBAUGBwgJCgsMDQ4PEBES
		ExQVFhcYGRobHB0eHxJcAAECAwQFBgcICQoL7kAYCa6MW8nL0orEZB6aAmQLiQuF
		bp85aTcXTPFyhqzMMGVqQehGW73Jm+rrIbuqopqqFKmR2qj/hTpXWq9pWTszTFb6
		g4Qkaw0XsY14GZc=
		-----END NEBULA ED25519 ENCRYPTED PRIVATE KEY-----
	END
	refused "$M57_CERT" sign -name h -ip 10.0.0.1/8 | grep 'ENCRYPTED PRIVATE KEY is not supported yet.*nebula-cert'
	[ ! -e h.crt ] && [ ! -e h.key ]
}

@test "files are for their owner only and never overwritten" {
	umask 0
	make_ca "$M57_CERT"
	for file in ca.key ca.crt in.key in.pub one.crt two.key two.crt; do
		[ "$(stat -c %a $file)" = 600 ]
	done
	sha256sum ca.* in.* one.* two.* >before
	refused "$M57_CERT" ca -name x | grep 'refusing to overwrite existing CA key: ca.key'
	refused "$M57_CERT" ca -name x -out-key n | grep 'existing CA cert: ca.crt'
	refused "$M57_CERT" sign -name two -ip 10.42.0.1/16 | grep 'existing cert: two.crt'
	refused "$M57_CERT" sign -name two -ip 10.42.0.1/16 -out-crt n | grep 'existing key: two.key'
	refused "$M57_CERT" keygen -out-key in.key -out-pub n | grep 'existing key: in.key'
	refused "$M57_CERT" keygen -out-key n -out-pub in.pub | grep 'existing public key: in.pub'
	refused "$M57_CERT" ca -name x -out-key n -out-crt n | grep 'refusing to overwrite'
	refused "$M57_CERT" ca -name x -out-key n -out-crt no/n | grep 'error while writing out-crt'
	ln -s nowhere n
	refused "$M57_CERT" ca -name x -out-key n -out-crt n2 | grep 'refusing to overwrite'
	rm n
	for file in n n2 nowhere; do # no half of a pair is left behind
		[ ! -e $file ]
	done
	sha256sum -c before
}

@test "sign keeps to the CA's limits" {
	make_ca "$M57_CERT"
	local why='refusing to sign, root certificate constraints violated: certificate'
	refused "$M57_CERT" sign -name x -ip 10.43.0.1/16 |
		grep "$why contained an ip assignment outside the limitations of the signing ca: 10.43.0.1/16"
	refused "$M57_CERT" sign -name x -ip 10.42.0.1/16 -groups d | grep "$why contained a group .*: d"
	refused "$M57_CERT" sign -name x -ip 10.42.0.1/16 -subnets 10.0.0.0/24 |
		grep "$why contained a subnet assignment .*: 10.0.0.0/24"
	refused "$M57_CERT" sign -name x -ip 10.42.0.1/16 -duration 101h |
		grep "$why expires after signing certificate"
	refused "$M57_CERT" sign -name x -ip 10.42.0.1/16 -ca-key in.key | grep 'Ed25519 private key'
	refused "$M57_CERT" sign -name x -ip 10.42.0.1/16 -ca-crt in.pub | grep 'certificate banner'
	refused "$M57_CERT" sign -name x -ip 10.42.0.1/16 -in-pub in.key | grep 'X25519 public key'
	"$M57_CERT" ca -name other -out-key o.key -out-crt o.crt
	refused "$M57_CERT" sign -name x -ip 10.42.0.1/16 -ca-key o.key |
		grep 'root certificate does not match private key'
	[ ! -e x.crt ] && [ ! -e x.key ]
}

@test "an expired CA signs nothing and verifies nothing" {
	"$M57_CERT" ca -name brief -duration 2s
	"$M57_CERT" sign -name h -ip 10.0.0.1/8
	end=$(time_of ca.crt notAfter)
	until [ "$(date +%s)" -gt "$end" ]; do sleep 0.1; done
	refused "$M57_CERT" sign -name i -ip 10.0.0.1/8 | grep 'ca certificate is expired'
	refused "$M57_CERT" verify -ca ca.crt -crt h.crt | grep 'root certificate is expired'
}

@test "verify names the reason" {
	make_ca "$M57_CERT"
	"$M57_CERT" ca -name other -out-key o.key -out-crt o.crt
	refused "$M57_CERT" verify -ca o.crt -crt one.crt | grep 'could not find ca for the certificate'
	refused "$M57_CERT" verify -ca ca.crt -crt ca.crt | grep 'no issuer in certificate'
	refused "$M57_CERT" verify -ca one.crt -crt one.crt | grep 'one: certificate is not a CA'
	refused "$M57_CERT" verify -ca in.key -crt one.crt | grep 'proper nebula certificate banner'
	refused "$M57_CERT" verify -ca ca.crt -crt in.key | grep 'proper nebula certificate banner'
	refused "$M57_CERT" verify -ca none -crt one.crt | grep 'error while reading ca: open none'
	refused "$M57_CERT" verify -ca ca.crt -crt none | grep 'unable to read crt; open none'
	# every certificate of the file is looked at
	cat one.crt ca.crt two.crt o.crt >mixed.crt
	[ "$(refused "$M57_CERT" verify -ca ca.crt -crt mixed.crt | wc -l)" = 2 ]
	cat o.crt ca.crt >bundle.crt
	run "$M57_CERT" verify -ca bundle.crt -crt two.crt
	[ "$status" = 0 ]
	[ -z "$output" ]
	damaged one.crt >bad.crt
	refused "$M57_CERT" verify -ca ca.crt -crt bad.crt | grep 'certificate signature did not match'
}

# the certificate with the last byte of its signature changed
damaged() {
	local hex last

	hex=$(sed 1d\;\$d "$1" | base64 -d | od -An -v -tx1 | tr -d ' \n')
	last=$([ "${hex: -2}" = 00 ] && echo 01 || echo 00)
	echo "-----BEGIN NEBULA CERTIFICATE-----"
	echo "${hex%??}$last" | sed 's/../\\x&/g' | xargs -0 printf | head -c $((${#hex} / 2)) | base64
	echo "-----END NEBULA CERTIFICATE-----"
}

@test "usage mistakes" {
	local tool

	for tool in "$M57_CERT" nebula-cert; do
		command -v "$tool" >/dev/null || continue
		rm -f ./*
		"$tool" ca -name usage # nebula-cert looks at the CA before the address
		refused "$tool" | grep 'No mode was provided'
		refused "$tool" bogus | grep 'unknown mode: bogus'
		refused "$tool" ca | grep -e '-name is required'
		grep -e '^Usage of .*cert ca <flags>' err
		refused "$tool" keygen | grep -e '-out-key is required'
		refused "$tool" keygen -out-key x | grep -e '-out-pub is required'
		refused "$tool" sign -name x | grep -e '-ip is required'
		refused "$tool" sign -name x -ip 10.0.0.1/8 -in-pub a -out-key b |
			grep 'cannot set both -in-pub and -out-key'
		refused "$tool" sign -name x -ip 10.0.0.1 |
			grep 'invalid ip definition: invalid CIDR address: 10.0.0.1'
		refused "$tool" sign -name x -ip fd00::1/64 | grep 'can only be ipv4, have fd00::1/64'
		refused "$tool" ca -name x -subnets y | grep 'invalid subnet definition'
		refused "$tool" print | grep -e '-path is required'
		refused "$tool" verify -ca x | grep -e '-crt is required'
		refused "$tool" ca -name | grep 'flag needs an argument: -name'
		refused "$tool" ca --nope x | grep 'flag provided but not defined: -nope'
		refused "$tool" ca -=x | grep 'bad flag syntax: -=x'
		refused "$tool" ca ---name x | grep 'bad flag syntax: ---name'
		refused "$tool" print -json=2 | grep 'invalid boolean value "2" for -json: parse error'
		refused "$tool" ca -name x -duration 0 | grep 'must be greater than 0'
		refused "$tool" ca -name x -duration -1h | grep 'must be greater than 0'
		refused "$tool" ca stray -name x | grep -e '-name is required'
		for duration in '' 1 h 1h30 1d 1.h.s 1e3s ' 1h' 9999999999h '1h-1m'; do
			refused "$tool" ca -name x -duration "$duration" |
				grep "invalid value \"$duration\" for flag -duration: parse error"
		done
		"$tool" ca -h 2>err
		grep -e '-duration duration' err
		"$tool" -h 2>err
		grep 'keygen <flags>' err
		"$tool" -version | grep '^Version: [0-9]'
	done
	[ "$(ls)" = "$(printf 'ca.crt\nca.key\nerr')" ]
}

@test "durations reach as far as they say" {
	for row in 1h30m:5400 90m:5400 1.5h:5400 3600s:3600 60000ms:60 .5h:1800 1h1m1s:3661 +2m:120; do
		rm -f ca.*
		"$M57_CERT" ca -name d -duration "${row%:*}"
		begin=$(time_of ca.crt notBefore)
		end=$(time_of ca.crt notAfter)
		[ $((end - begin)) = "${row#*:}" ]
	done
}

@test "print takes bundles with comments, and refuses what is no certificate" {
	make_ca "$M57_CERT"
	{ echo "# ours"; cat one.crt; echo; echo "# theirs"; cat two.crt; echo tail; } >text.crt
	[ "$("$M57_CERT" print -path text.crt | grep -c '^NebulaCertificate {')" = 2 ]
	refused "$M57_CERT" print -path none | grep 'unable to read cert; open none'
	refused "$M57_CERT" print -path in.key | grep 'proper nebula certificate banner'
	: >empty
	refused "$M57_CERT" print -path empty | grep 'did not contain a valid PEM encoded block'
	head -2 one.crt >cut
	refused "$M57_CERT" print -path cut | grep 'did not contain a valid PEM encoded block'
	"$M57_CERT" print -path one.crt >/dev/full && return 1
	true
}

@test "names cannot write to the terminal" {
	"$M57_CERT" ca -name "$(printf 'a\033[31mb')" -groups "$(printf 'c\033d')"
	"$M57_CERT" print -path ca.crt | grep "$(printf '\033')" && return 1
	"$M57_CERT" print -path ca.crt | grep -F 'a\x1b[31mb'
	"$M57_CERT" print -json -path ca.crt | grep -F '"name":"a\u001b[31mb"'
	# U+009B begins a command of a terminal, too
	"$M57_CERT" ca -name "$(printf 'a\302\233b\302\240c')" -out-crt two.crt -out-key two.key
	"$M57_CERT" print -path two.crt | grep -F "$(printf 'a\\x9bb\302\240c')"
}
