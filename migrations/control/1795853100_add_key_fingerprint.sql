-- OCI knows a key by the MD5 of its DER form, as `20:3b:97:...`; that is what request signatures name it by.
alter table api_keys
    add column fingerprint_md5 text not null generated always as (
        regexp_replace(
            md5(decode(regexp_replace(public_key_pem, '-----[A-Z ]+-----|\s', '', 'g'), 'base64')),
            '(..)(?!$)', '\1:', 'g'
        )
    ) stored;
create unique index api_keys_fingerprint_md5 on api_keys (fingerprint_md5);
