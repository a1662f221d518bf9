#!/bin/sh
# The commands of Microsoft's certGen.sh, done by edgeca: no openssl, no terminal, and nothing is wiped.
# What it makes lies under the names of that script in ./certs and ./private, and under edgeca's own beside them.
set -eu

usage() {
    cat >&2 <<'TEXT'
usage: certGen.sh create_root_and_intermediate
       certGen.sh create_edge_device_ca_certificate NAME        (also: create_edge_device_certificate NAME)
       certGen.sh create_edge_device_identity_certificate NAME
       certGen.sh create_edge_server_certificate HOST [HOST…]
       certGen.sh create_device_certificate ID
       certGen.sh create_verification_certificate CODE
       certGen.sh install_root_ca_from_files ROOT.pem ROOT-KEY.pem [FILE-WITH-PASSWORD]
DEFAULT_VALIDITY_DAYS sets how many days leaves and Edge CAs live; EDGECA names the program, if it is not in PATH.
TEXT
    exit 2
}

make_one() { # make_one KIND NAME…: asked twice it changes nothing, as edgeca does
    "${EDGECA:-edgeca}" "$@" --dir . --layout azure ${DEFAULT_VALIDITY_DAYS:+--days "$DEFAULT_VALIDITY_DAYS"}
}

[ "$#" -ge 1 ] || usage
command=$1
shift
case "$command" in
create_root_and_intermediate)
    [ "$#" -eq 0 ] || usage
    "${EDGECA:-edgeca}" init --rsa 4096 --dir . --layout azure
    ;;
create_edge_device_ca_certificate | create_edge_device_certificate)
    [ "$#" -eq 1 ] || usage
    make_one edge-ca "$1"
    ;;
create_edge_device_identity_certificate)
    [ "$#" -eq 1 ] || usage
    make_one edge-id "$1"
    ;;
create_edge_server_certificate)
    [ "$#" -ge 1 ] || usage
    make_one server "$@"
    ;;
create_device_certificate)
    [ "$#" -eq 1 ] || usage
    make_one device "$1"
    ;;
create_verification_certificate)
    [ "$#" -eq 1 ] || usage
    "${EDGECA:-edgeca}" proof "$1" --dir . --layout azure
    ;;
install_root_ca_from_files)
    if [ "$#" -eq 2 ]; then
        "${EDGECA:-edgeca}" init --root "$1" --root-key "$2" --dir . --layout azure
    elif [ "$#" -eq 3 ]; then
        "${EDGECA:-edgeca}" init --root "$1" --root-key "$2" --root-password-file "$3" --dir . --layout azure
    else
        usage
    fi
    ;;
*)
    usage
    ;;
esac
